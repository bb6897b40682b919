-- Be alone with the limits: nobody judges by them until this transaction ends (see gates_calm). Those under way come to
-- their ends first, so whatever they parked is seen by the next statement.
SELECT {change}
