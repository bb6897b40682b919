#!lua flags=no-writes
-- uses: gate, rules, turns, calm, gates
-- All limits that have a rule.
-- ask: nothing
-- gives: {name: declared rule (JSON)} and {name: the operator's}, each as a list of names and rules
return { call('HGETALL', DECLARED), call('HGETALL', OPERATOR) }
