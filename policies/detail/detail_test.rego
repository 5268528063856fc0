package comity.detail_test

import data.comity.detail

levels := {
	"REF_AREA": ["area"],
	"INDICATOR": [],
	"SECTION": ["total", "state", "section", "point"],
	"SEX": [],
	"CITIZENSHIP": ["total", "region", "country"],
}

agreement := {"FREQ": "M", "SECTION": "section", "SEX": "_T", "CITIZENSHIP": "continent"}

test_every_dimension_with_detail_is_one if {
	detail.dimensions == {"FREQ", "SECTION", "SEX", "CITIZENSHIP"} with data.levels as levels
}

test_frequency_is_one_without_levels if {
	detail.dimensions == {"FREQ"}
}

test_it_goes_as_agreed[dimension] if {
	some dimension, want in {
		"FREQ": "M",
		"SECTION": "section",
		"SEX": "_T", # agreed as such
		"CITIZENSHIP": "_T", # agreed by no level of its codelist
		"AGE": "_T", # not agreed
	}
	detail.agreed(agreement, dimension) == want with data.levels as levels
}

test_frequency_goes_as_its_lowest_where_nothing_is_agreed if {
	detail.agreed({}, "FREQ") == "A"
	detail.agreed({"FREQ": "_T"}, "FREQ") == "A"
}

test_within_the_agreed_detail[sprintf("%s %s", [dimension, level])] if {
	some dimension, fine in {
		"FREQ": ["A", "Q", "M"],
		"SECTION": ["_T", "total", "state", "section"],
		"SEX": ["_T"],
		"CITIZENSHIP": ["_T", "total"],
	}
	some level in fine
	detail.within(agreement, dimension, level) with data.levels as levels
}

test_finer_than_the_agreed_detail[sprintf("%s %s", [dimension, level])] if {
	some dimension, fine in {
		"FREQ": ["W", "D", "H", "_T"],
		"SECTION": ["point", "elsewhere", ""],
		"SEX": ["total", "code", ""],
		"CITIZENSHIP": ["region", "country"],
		"AGE": ["group"],
	}
	some level in fine
	not detail.within(agreement, dimension, level) with data.levels as levels
}

test_it_finds_what_is_finer if {
	requested := {
		"FREQ": [{"code": "D", "level": ""}, {"code": "M", "level": ""}],
		"REF_AREA": [{"code": "US", "level": "area"}],
		"INDICATOR": [{"code": "1A", "level": ""}],
		"SECTION": [{"code": "EL_PASO_1", "level": "point"}, {"code": "_T", "level": "total"}],
		"SEX": [{"code": "F", "level": ""}, {"code": "_T", "level": ""}],
	}
	detail.finer(agreement, requested) == {
		{"dimension": "FREQ", "code": "D", "level": "", "agreed": "M"},
		{"dimension": "SECTION", "code": "EL_PASO_1", "level": "point", "agreed": "section"},
		{"dimension": "SEX", "code": "F", "level": "", "agreed": "_T"},
	} with data.levels as levels
}

test_what_is_not_known_is_finer_than_anything[name] if {
	some name, requested in {
		"an unknown dimension": {"NAME": [{"code": "ANNE", "level": "total"}]},
		"an item without a code": {"SEX": [{"level": "_T"}]},
		"an item without a level": {"SECTION": [{"code": "EL_PASO"}]},
	}
	count(detail.finer(agreement, requested)) == 1 with data.levels as levels
}
