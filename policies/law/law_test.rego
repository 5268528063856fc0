package comity.law_test

import data.comity.law

request := {"state": "us", "partner": "gb", "direction": "send", "indicator": "TERR"}

test_a_law_without_rules_forbids_nothing if {
	law.deny == set() with input as request with data.law.denied as []
	law.excluded == set() with input as request with data.law.excluded as []
}

test_the_shared_law_keeps_small_counts_at_home if {
	law.minimum_frequency >= 3
}

test_it_denies_what_a_rule_names[name] if {
	some name, rule in {
		"the partner and the indicator": {"partners": ["eu", "gb"], "indicators": ["TERR"], "text": "so"},
		"the partner": {"partners": ["gb"], "text": "so"},
		"the indicator": {"indicators": ["TERR"], "text": "so"},
		"neither": {"text": "so"},
	}
	law.deny == {{"code": "LAW", "text": "so"}} with input as request with data.law.denied as [rule]
}

test_it_does_not_deny_what_a_rule_does_not_name[name] if {
	some name, rule in {
		"another partner": {"partners": ["eu"], "indicators": ["TERR"], "text": "so"},
		"another indicator": {"partners": ["gb"], "indicators": ["1A"], "text": "so"},
		"no partner": {"partners": [], "text": "so"},
	}
	law.deny == set() with input as request with data.law.denied as [rule]
}

test_it_excludes_the_cells_that_a_rule_names if {
	rules := [
		{"partners": ["gb"], "cells": {"CITIZENSHIP": ["VEN"], "SEX": ["F"]}},
		{"partners": ["eu"], "cells": {"CITIZENSHIP": ["CUB"]}},
	]
	law.excluded == {{"CITIZENSHIP": ["VEN"], "SEX": ["F"]}} with input as request with data.law.excluded as rules
}
