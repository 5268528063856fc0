# METADATA
# title: What a state's own law forbids
# description: |
#   The upper bound on every agreement and publication. Input is that of comity.exchange; a publication has the partner
#   "" and the direction "publish". The law speaks in four ways, each of which a state extends in a directory of its own
#   without touching this file:
#
#   1. by data, in law/data.yaml of its directory: data.law.denied and data.law.excluded are lists of
#      {"partners": […], "indicators": […], "text": "…"}, where a list that is not given means all; an entry of excluded
#      also has "cells", an object of components with codes;
#   2. by a rule `deny contains {"code": "LAW", "text": "…"} if …`, in a file of this package, over whole requests;
#   3. by a rule `excluded contains {"CITIZENSHIP": {"XXX"}, …} if …`, over cells. A cell is excluded where each of the
#      components has one of its codes. Its body may use all of the input but input.cell, so that what remains
#      can be made a condition on rows;
#   4. by how well figures are protected: data.law.minimum_frequency, relative_width and minimum_kept are numbers for
#      all of them. data.law.protection is a list of
#      {"partners": […], "indicators": […], "tiers": […],
#       "minimum_frequency": 5, "relative_width": 0.5, "minimum_kept": 0.1, "decimals": 2,
#       "dominance": {"n": 1, "k": 75, "by": "SECTION"}, "p_percent": {"p": 10, "by": "SECTION"}},
#      and a rule `protection contains {"minimum_frequency": 10} if …` adds to it. What an entry does not give, it does
#      not ask for.
package comity.law

# METADATA
# description: Whole requests that the law forbids.
deny contains {"code": "LAW", "text": rule.text} if {
	some rule in data.law.denied
	concerns(rule)
}

# METADATA
# description: Cells that the law forbids, each as components with codes.
excluded contains rule.cells if {
	some rule in data.law.excluded
	concerns(rule)
}

# METADATA
# description: How what is asked for is protected besides what holds for everything; an entry may be for some tiers.
protection contains rule if {
	some rule in data.law.protection
	concerns(rule)
}

# METADATA
# description: |
#   How figures of the request are protected on their way to a tier, where an agreement or publication asks for own, by
#   the same names: of law and own, and of all entries that concern it, the strictest counts for each:
#
#     {"tier": "PARTNERS",
#      "minimumFrequency": 5,                          no cell goes that counts fewer
#      "relativeWidth": 0.2,                           an interval of a withheld cell is at least that part of it wide
#      "minimumKept": 0,                               a table keeps this share of its value, or is left out
#      "decimals": 0,                                  figures will have that many decimal places, if not now
#      "dominance": {"n": 1, "k": 75, "by": "SECTION"},     null: no such rule; by whose codes contributions are told
#      "pPercent": {"p": 10, "by": "SECTION"}}
#
#   It is undefined where rules of one kind tell contributions by different dimensions: none is stricter.
obligations(tier, own) := {
	"tier": tier,
	"minimumFrequency": max(array.concat(
		[data.law.minimum_frequency, object.get(own, "minimumFrequency", 0)],
		[rule.minimum_frequency | some rule in rules],
	)),
	"relativeWidth": max(array.concat(
		[data.law.relative_width, object.get(own, "relativeWidth", 0)],
		[rule.relative_width | some rule in rules],
	)),
	"minimumKept": max(array.concat(
		[data.law.minimum_kept, object.get(own, "minimumKept", 0)],
		[rule.minimum_kept | some rule in rules],
	)),
	"decimals": max(array.concat(
		[0, object.get(own, "decimals", 0)],
		[rule.decimals | some rule in rules],
	)),
	"dominance": strictest_dominance(given(own, "dominance") | {rule.dominance | some rule in rules}),
	"pPercent": strictest_p_percent(given(own, "pPercent") | {rule.p_percent | some rule in rules}),
} if {
	rules := {rule |
		some rule in protection
		names(rule, "tiers", tier)
	}
}

# METADATA
# description: Of several (n, k) rules over the same contributors, one that is as strict as all of them.
strictest_dominance(dominances) := null if count(dominances) == 0

strictest_dominance(dominances) := {"n": n, "k": k, "by": by} if {
	some by in {d.by | some d in dominances}
	every d in dominances {
		d.by == by
		is_number(d.n)
		is_number(d.k)
	}
	n := max([d.n | some d in dominances])
	k := min([d.k | some d in dominances])
}

# METADATA
# description: Of several p % rules over the same contributors, the strictest.
strictest_p_percent(p_percents) := null if count(p_percents) == 0

strictest_p_percent(p_percents) := {"p": p, "by": by} if {
	some by in {rule.by | some rule in p_percents}
	every rule in p_percents {
		rule.by == by
		is_number(rule.p)
	}
	p := max([rule.p | some rule in p_percents])
}

given(own, field) := {value |
	value := own[field]
	value != null
}

concerns(rule) if {
	names(rule, "partners", input.partner)
	names(rule, "indicators", input.indicator)
}

names(rule, field, _) if not rule[field]

names(rule, field, value) if value in rule[field]
