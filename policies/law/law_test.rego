package comity.law_test

import data.comity.law

request := {"state": "us", "partner": "gb", "direction": "send", "indicator": "TERR"}

test_a_law_without_rules_forbids_nothing if {
	law.deny == set() with input as request with data.law.denied as []
	law.excluded == set() with input as request with data.law.excluded as []
}

test_the_shared_law_keeps_small_counts_at_home if {
	law.obligations("PARTNERS", {}).minimumFrequency >= 3 with input as request
}

test_the_shared_law_keeps_more_at_home_of_asylum_trafficking_deaths_and_health[indicator] if {
	some indicator in ["5", "THB", "MIG_DEATH", "HEALTH"]
	law.obligations("PARTNERS", {}).minimumFrequency >= 5 with input as object.union(request, {"indicator": indicator})
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

# protect is how a law with these entries has TERR protected on its way to gb.
protect(entries, tier, own) := obligations if {
	obligations := law.obligations(tier, own) with input as request
		with data.law as {"minimum_frequency": 3, "relative_width": 0.2, "minimum_kept": 0, "protection": entries}
}

test_without_entries_its_numbers_hold if {
	protect([], "PARTNERS", {}) == {
		"tier": "PARTNERS",
		"minimumFrequency": 3,
		"relativeWidth": 0.2,
		"minimumKept": 0,
		"decimals": 0,
		"dominance": null,
		"pPercent": null,
	}
}

test_an_entry_holds_for_what_it_names[name] if {
	some name, entry in {
		"the indicator": {"indicators": ["5", "TERR"], "minimum_frequency": 10},
		"the tier": {"tiers": ["PARTNERS"], "minimum_frequency": 10},
		"the partner": {"partners": ["gb"], "minimum_frequency": 10},
		"nothing": {"minimum_frequency": 10},
	}
	protect([entry], "PARTNERS", {}).minimumFrequency == 10
}

test_an_entry_does_not_hold_for_what_it_does_not_name[name] if {
	some name, entry in {
		"another indicator": {"indicators": ["5"], "minimum_frequency": 10},
		"another tier": {"tiers": ["PUBLIC"], "minimum_frequency": 10},
		"another partner": {"partners": ["eu"], "minimum_frequency": 10},
		"one of two": {"indicators": ["TERR"], "tiers": ["PUBLIC"], "minimum_frequency": 10},
	}
	protect([entry], "PARTNERS", {}).minimumFrequency == 3
}

test_the_strictest_counts_for_each if {
	entries := [
		{"minimum_frequency": 10, "relative_width": 0.1, "dominance": {"n": 1, "k": 75, "by": "SECTION"}},
		{"minimum_frequency": 4, "minimum_kept": 0.3, "decimals": 2, "p_percent": {"p": 10, "by": "SECTION"}},
		{"relative_width": 0.5, "decimals": 1, "dominance": {"n": 2, "k": 90, "by": "SECTION"}, "p_percent": {"p": 20, "by": "SECTION"}},
	]
	protect(entries, "PUBLIC", {}) == {
		"tier": "PUBLIC",
		"minimumFrequency": 10,
		"relativeWidth": 0.5,
		"minimumKept": 0.3,
		"decimals": 2,
		"dominance": {"n": 2, "k": 75, "by": "SECTION"},
		"pPercent": {"p": 20, "by": "SECTION"},
	}
}

test_what_was_agreed_counts_where_it_is_stricter if {
	own := {
		"minimumFrequency": 7,
		"relativeWidth": 1,
		"minimumKept": 0.5,
		"decimals": 1,
		"dominance": {"n": 1, "k": 60, "by": "SECTION"},
		"pPercent": {"p": 15, "by": "SECTION"},
	}
	protect([], "PUBLIC", own) == object.union(own, {"tier": "PUBLIC"})
	strict := {
		"minimum_frequency": 8,
		"relative_width": 2,
		"minimum_kept": 0.6,
		"decimals": 3,
		"dominance": {"n": 1, "k": 50, "by": "SECTION"},
		"p_percent": {"p": 25, "by": "SECTION"},
	}
	protect([strict], "PUBLIC", own) == {
		"tier": "PUBLIC",
		"minimumFrequency": 8,
		"relativeWidth": 2,
		"minimumKept": 0.6,
		"decimals": 3,
		"dominance": {"n": 1, "k": 50, "by": "SECTION"},
		"pPercent": {"p": 25, "by": "SECTION"},
	}
}

test_what_was_agreed_as_null_is_not_agreed if {
	protect([], "PUBLIC", {"dominance": null, "pPercent": null, "minimumFrequency": null, "decimals": null}) == protect([], "PUBLIC", {})
}

test_rules_that_cannot_be_kept_are_undefined[name] if {
	some name, entries in {
		"dominance by two dimensions": [
			{"dominance": {"n": 1, "k": 75, "by": "SECTION"}},
			{"dominance": {"n": 1, "k": 75, "by": "CITIZENSHIP"}},
		],
		"p % by two dimensions": [
			{"p_percent": {"p": 10, "by": "SECTION"}},
			{"p_percent": {"p": 10, "by": "CITIZENSHIP"}},
		],
		"dominance without k": [{"dominance": {"n": 1, "by": "SECTION"}}, {"dominance": {"n": 1, "k": 75, "by": "SECTION"}}],
		"dominance without a dimension": [{"dominance": {"n": 1, "k": 75}}],
		"p % without p": [{"p_percent": {"by": "SECTION"}}],
	}
	not protect(entries, "PARTNERS", {})
}
