package comity.receive_test

import data.comity.receive

# What au gave us, and lets us pass on to gb.
passed := object.union(batch, {
	"refAreas": ["AU"],
	"agreement": {"source": "au"},
	"summary": {"refAreas": ["AU"]},
	"warrant": {
		"provider": "au",
		"takenBack": false,
		"agreement": {
			"id": "au-us-1a",
			"version": 1,
			"provider": "au",
			"receiver": "us",
			"indicators": ["1A"],
			"detail": {"FREQ": "M", "CITIZENSHIP": "country"},
			"minimumFrequency": 3,
			"validFrom": "2026-01-01",
			"validTo": "2026-12-31",
			"onward": true,
			"onwardTo": ["gb"],
		},
	},
})

passed_on(change) := decision if {
	decision := receive.decision with input as object.union(passed, change) with data.levels as levels
}

test_it_accepts_what_is_passed_on[name] if {
	some name, change in {
		"as granted": {},
		"no count above 0": {"summary": {"minimum": 0}},
		"without end": {"warrant": {"agreement": {"validTo": ""}}},
		"nothing any more": {
			"warrant": {"takenBack": true, "agreement": {"onward": false, "onwardTo": []}},
			"summary": {"refAreas": [], "indicators": [], "frequencies": [], "finest": {}, "minimum": 0},
		},
	}
	passed_on(change) == {"allow": true, "reasons": []}
}

test_it_refuses_what_is_passed_on[name] if {
	some name, change in {
		"to somebody else": {"warrant": {"agreement": {"onwardTo": ["eu"]}}},
		"to nobody": {"warrant": {"agreement": {"onward": false}}},
		"by somebody else": {"warrant": {"agreement": {"receiver": "eu"}}},
		"of somebody else": {"warrant": {"provider": "eu", "agreement": {"provider": "eu"}}},
		"after the end": {"warrant": {"agreement": {"validTo": "2026-06-29"}}},
		"before the beginning": {"warrant": {"agreement": {"validFrom": "2026-07-01"}}},
		"to another tier": {"warrant": {"agreement": {"tier": "ALLIES"}}},
		"of another indicator": {"warrant": {"agreement": {"indicators": ["4"]}}},
		"small cells": {"warrant": {"agreement": {"minimumFrequency": 4}}},
		"too often": {"warrant": {"agreement": {"detail": {"FREQ": "A"}}}},
		"in too much detail": {"warrant": {"agreement": {"detail": {"CITIZENSHIP": "region"}}}},
		"as taken back, with figures": {"warrant": {"takenBack": true}},
	}
	some reason in passed_on(change).reasons
	reason.code == "ONWARD_NOT_GRANTED"
}

test_it_refuses_figures_of_a_third_state[name] if {
	some name, input_ in {
		"without a warrant": object.remove(passed, ["warrant"]),
		"under another agreement": object.union(passed, {"agreement": {"source": ""}}),
	}
	decision := receive.decision with input as input_ with data.levels as levels
	not decision.allow
}

test_it_refuses_an_area_that_the_source_does_not_speak_for if {
	not passed_on({"summary": {"refAreas": ["US"]}}).allow
}
