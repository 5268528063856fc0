package comity.cells_test

import data.comity.cells

request := {
	"state": "us",
	"partner": "",
	"direction": "publish",
	"dataflow": "COMITY:BORDER(1.0.0)",
	"indicator": "1A",
	"date": "2026-06-30",
	"requested": {
		"FREQ": [{"code": "M", "level": ""}],
		"REF_AREA": [{"code": "US", "level": "area"}],
		"INDICATOR": [{"code": "1A", "level": ""}],
		"CITIZENSHIP": [{"code": "SOUTH_AMERICA", "level": "region"}],
		"SEX": [{"code": "_T", "level": "total"}],
	},
	"person": null,
}

analyst := {"person": {"roles": ["analyst"]}}

by_country := {"requested": {"CITIZENSHIP": [{"code": "VEN", "level": "country"}]}}

decide(change) := decide_by({}, change)

decide_by(law, change) := decision if {
	decision := cells.decision with input as object.union(request, change)
		with data.publication as {
			"dataflow": "COMITY:BORDER(1.0.0)",
			"indicators": {"1A": {"detail": {"FREQ": "M", "CITIZENSHIP": "region"}, "minimumFrequency": 10}},
		}
		with data.levels as {"SEX": ["total", "sex"], "CITIZENSHIP": ["total", "region", "country"], "REF_AREA": ["area"]}
		with data.law as object.union(
			{
				"denied": [],
				"excluded": [],
				"protection": [],
				"minimum_frequency": 3,
				"relative_width": 0.2,
				"minimum_kept": 0,
			},
			law,
		)
		with data.cells as {
			"dataflows": ["COMITY:BORDER(1.0.0)"],
			"roles": ["analyst"],
			"public": ["1A", "TERR"],
			"perturbation": {
				"default": {"maximum": 5, "variance": 3, "smallestReleased": 2},
				"indicators": {"THB": {"maximum": 8, "variance": 8, "smallestReleased": 4}},
			},
			"rounding": {"public": 3, "person": 0},
			"budget": {"public": {"cells": 10, "hours": 24}, "person": {"cells": 20, "hours": 12}},
		}
}

codes(decision) := [reason.code | some reason in decision.reasons]

test_the_public_gets_what_is_published if {
	decide({}) == {
		"allow": true,
		"reasons": [],
		"perturbation": {"maximum": 5, "variance": 3, "smallestReleased": 2},
		"rounding": 3,
		"budget": {"cells": 10, "hours": 24},
	}
}

test_the_public_gets_no_finer_detail if {
	codes(decide(by_country)) == ["DETAIL_NOT_COVERED"]
}

test_the_public_gets_nothing_that_is_not_published if {
	codes(decide({"indicator": "TERR"})) == ["INDICATOR_NOT_COVERED"]
}

test_the_public_gets_tables_of_what_is_meant_for_it if {
	codes(decide({"indicator": "THB"})) == ["INDICATOR_NOT_COVERED", "INDICATOR_NOT_COVERED"]
	decide(object.union({"indicator": "THB"}, analyst)).allow
}

test_nothing_is_for_the_public_by_itself if {
	decision := cells.decision with input as request
		with data.publication.indicators as {"1A": {"detail": {"FREQ": "M", "CITIZENSHIP": "region"}}}
		with data.levels as {"SEX": ["total", "sex"], "CITIZENSHIP": ["total", "region", "country"]}
	codes(decision) == ["INDICATOR_NOT_COVERED"]
}

test_the_public_gets_nothing_of_which_publication_says_nothing if {
	decision := cells.decision with input as request
		with data.comity.publication.decision as {"allow": false, "reasons": []}
		with data.cells.public as ["1A"]
	not decision.allow
	"POLICY_ERROR" in codes(decision)
}

test_an_analyst_gets_any_detail if {
	decision := decide(object.union(by_country, analyst))
	decision.allow
	decision.budget == {"cells": 20, "hours": 12}
	decision.rounding == 0
}

test_noise_is_of_the_indicator_and_not_of_the_caller if {
	decision := decide(object.union({"indicator": "THB"}, analyst))
	decision.perturbation == {"maximum": 8, "variance": 8, "smallestReleased": 4}
	decide(analyst).perturbation == decide({}).perturbation
}

test_no_other_role_may_ask[name] if {
	some name, roles in {"none": [], "an admin": ["admin"]}
	codes(decide({"person": {"roles": roles}})) == ["ACCESS_DENIED"]
}

test_no_tables_are_made_of_other_dataflows if {
	codes(decide(object.union(analyst, {"dataflow": "US:ENCOUNTERS(1.0.0)"}))) == ["INDICATOR_NOT_COVERED"]
}

test_the_law_binds_the_public if {
	denies := {"denied": [{"indicators": ["1A"], "text": "not in public"}]}
	codes(decide_by(denies, {})) == ["LAW"]
	decide_by(denies, analyst).allow
}

test_what_the_law_excludes_is_not_told_apart[name] if {
	some name, exclusion in {
		"by a dimension that is told apart": {"CITIZENSHIP": ["VEN"]},
		"by the area": {"REF_AREA": ["US"]},
		"by both": {"REF_AREA": ["US"], "CITIZENSHIP": ["VEN"]},
		"by a total": {"SEX": ["_T"]},
		"by something else": {"TIME_PERIOD": ["2024-01"]},
	}
	law := {"excluded": [{"cells": exclusion}]}
	codes(decide_by(law, {})) == ["LAW"]
	decide_by(law, analyst).allow
}

test_what_the_law_excludes_elsewhere_is_no_matter[name] if {
	some name, exclusion in {
		"another area": {"REF_AREA": ["GB"], "CITIZENSHIP": ["VEN"]},
		"a dimension of which the total is asked for": {"SEX": ["F"]},
	}
	decide_by({"excluded": [{"cells": exclusion}]}, {}).allow
}

test_the_law_can_want_more_withheld_than_the_noise_does if {
	codes(decide_by({"minimum_frequency": 4}, {})) == ["LAW"]
	decide_by({"minimum_frequency": 4}, analyst).allow
}

test_the_real_noise_keeps_what_the_real_law_wants_withheld[indicator] if {
	some indicator in ["1A", "5", "THB", "MIG_DEATH", "HEALTH"]
	decision := cells.decision with input as object.union(request, {"indicator": indicator})
		with data.publication.indicators as {indicator: {"detail": {"FREQ": "M", "CITIZENSHIP": "region"}}}
		with data.levels as {"SEX": ["total", "sex"], "CITIZENSHIP": ["total", "region", "country"]}
		with data.cells.public as [indicator]
	decision.allow
}

test_a_request_that_lacks_something_is_not_allowed[field] if {
	some field in ["indicator", "requested", "direction", "person", "dataflow"]
	not cells.decision.allow with input as object.remove(object.union(request, analyst), [field])
		with data.levels as {}
}
