package comity.receive_test

import data.comity.receive

levels := {
	"SECTION": ["total", "state", "section", "point"],
	"CITIZENSHIP": ["total", "region", "country"],
	"ROUTE": [],
}

batch := {
	"state": "gb",
	"sender": "us",
	"refAreas": ["US", "PR"],
	"date": "2026-06-30",
	"header": {"agreement": "us-gb-1a", "version": 1, "dataflow": "COMITY:BORDER(1.0.0)"},
	"agreement": {
		"id": "us-gb-1a",
		"version": 1,
		"provider": "us",
		"receiver": "gb",
		"dataflow": "COMITY:BORDER(1.0.0)",
		"indicators": ["1A"],
		"detail": {"FREQ": "M", "CITIZENSHIP": "country"},
		"purposes": [],
		"minimumFrequency": 3,
		"validFrom": "2026-01-01",
		"validTo": "2026-12-31",
	},
	"summary": {
		"refAreas": ["US"],
		"indicators": ["1A"],
		"components": ["FREQ", "CITIZENSHIP", "ROUTE", "OBS_VALUE"],
		"unknownCodes": [],
		"frequencies": ["M"],
		"finest": {"CITIZENSHIP": "country", "SECTION": "_T", "REF_AREA": "area", "FREQ": "_T"},
		"minimum": 3,
	},
}

decide(change) := decision if {
	decision := receive.decision with input as object.union(batch, change) with data.levels as levels
}

test_it_accepts[name] if {
	some name, change in {
		"what was agreed": {},
		"an area that the sender declared": {"summary": {"refAreas": ["US", "PR"]}},
		"no rows": {"summary": {"refAreas": [], "indicators": [], "frequencies": [], "finest": {}, "minimum": 0}},
		"no count above 0": {"summary": {"minimum": 0}},
		"levels one by one": {"summary": {"finest": {"CITIZENSHIP": ["_T", "total", "country"]}}},
		"a lower frequency": {"summary": {"frequencies": ["A", "Q"]}},
		"the first day": {"date": "2026-01-01"},
		"the last day": {"date": "2026-12-31"},
		"an agreement without end": {"date": "2999-01-01", "agreement": {"validTo": ""}},
	}
	decide(change) == {"allow": true, "reasons": []}
}

test_it_refuses[name] if {
	some name, case in {
		"no agreement": {"change": {"agreement": null}, "codes": ["NO_AGREEMENT"]},
		"another agreement": {"change": {"header": {"agreement": "us-gb-2"}}, "codes": ["RECEIVE_REFUSED"]},
		"another version": {"change": {"header": {"version": 2}}, "codes": ["RECEIVE_REFUSED"]},
		"another dataflow": {"change": {"header": {"dataflow": "A:B(1.0.0)"}}, "codes": ["RECEIVE_REFUSED"]},
		"another sender": {"change": {"sender": "eu"}, "codes": ["RECEIVE_REFUSED"]},
		"another receiver": {"change": {"state": "eu"}, "codes": ["RECEIVE_REFUSED"]},
		"the day before": {"change": {"date": "2025-12-31"}, "codes": ["EXPIRED"]},
		"the day after": {"change": {"date": "2027-01-01"}, "codes": ["EXPIRED"]},
		"another state's area": {"change": {"summary": {"refAreas": ["US", "GB"]}}, "codes": ["RECEIVE_REFUSED"]},
		"another indicator": {"change": {"summary": {"indicators": ["1A", "5"]}}, "codes": ["INDICATOR_NOT_COVERED"]},
		"a small count": {"change": {"summary": {"minimum": 2}}, "codes": ["RECEIVE_REFUSED"]},
		"a part of a count": {"change": {"summary": {"minimum": 0.5}}, "codes": ["RECEIVE_REFUSED"]},
		"a negative count": {"change": {"summary": {"minimum": -4}}, "codes": ["RECEIVE_REFUSED"]},
		"a person's name": {"change": {"summary": {"components": ["NAME"]}}, "codes": ["RECEIVE_REFUSED"]},
		"an unknown code": {"change": {"summary": {"unknownCodes": ["SEX=Q"]}}, "codes": ["RECEIVE_REFUSED"]},
		"a higher frequency": {"change": {"summary": {"frequencies": ["M", "D"]}}, "codes": ["DETAIL_NOT_COVERED"]},
		"a finer section": {
			"change": {"summary": {"finest": {"SECTION": "point"}}},
			"codes": ["DETAIL_NOT_COVERED"],
		},
		"a finer section among coarser ones": {
			"change": {"summary": {"finest": {"SECTION": ["_T", "point"]}}},
			"codes": ["DETAIL_NOT_COVERED"],
		},
		"a level of nothing": {
			"change": {"summary": {"finest": {"NAME": ["person"]}}},
			"codes": ["DETAIL_NOT_COVERED"],
		},
		"a small count under no agreed minimum": {
			"change": {"agreement": {"minimumFrequency": 0}, "summary": {"minimum": -1}},
			"codes": ["RECEIVE_REFUSED"],
		},
	}
	decision := decide(case.change)
	not decision.allow
	[reason.code | some reason in decision.reasons] == case.codes
}

test_it_says_what_it_refuses if {
	decide({"summary": {"finest": {"SECTION": ["point"]}}}).reasons == [{
		"code": "DETAIL_NOT_COVERED",
		"text": `SECTION: agreement us-gb-1a covers detail to "_T"; there is "point"`,
		"agreement": "us-gb-1a",
	}]
}

test_it_is_undefined_for_a_summary_of_another_shape[json.marshal(finest)] if {
	some finest in [{"SECTION": {"point": true}}, {"SECTION": null}, {"SECTION": []}, {"SECTION": 3}, 3]
	not decide({"summary": {"finest": finest}})
}

test_it_is_undefined_for_an_input_that_lacks_a_part[path] if {
	some path in [
		"/state", "/sender", "/date", "/refAreas", "/agreement", "/header/agreement", "/header/version",
		"/header/dataflow", "/summary/refAreas", "/summary/indicators", "/summary/components",
		"/summary/unknownCodes", "/summary/frequencies", "/summary/finest", "/summary/minimum",
	]
	not receive.decision with input as json.remove(batch, [path]) with data.levels as levels
}
