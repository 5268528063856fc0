# METADATA
# title: What a state's own law forbids
# description: |
#   The upper bound on every agreement and publication. Input is that of comity.exchange; a publication has the partner
#   "" and the direction "publish". The law speaks in three ways, each of which a state extends in a directory of its own
#   without touching this file:
#
#   1. by data, in law/data.yaml of its directory: data.law.denied and data.law.excluded are lists of
#      {"partners": […], "indicators": […], "text": "…"}, where a list that is not given means all; an entry of excluded
#      also has "cells", an object of components with codes. data.law.minimum_frequency is a count.
#   2. by a rule `deny contains {"code": "LAW", "text": "…"} if …`, in a file of this package, over whole requests;
#   3. by a rule `excluded contains {"CITIZENSHIP": {"XXX"}, …} if …`, over cells. A cell is excluded where each of the
#      components has one of its codes. Its body may use all of the input but input.cell, so that what remains
#      can be made a condition on rows.
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
# description: No cell that counts fewer than this leaves, whatever was agreed.
minimum_frequency := data.law.minimum_frequency

concerns(rule) if {
	names(rule, "partners", input.partner)
	names(rule, "indicators", input.indicator)
}

names(rule, field, _) if not rule[field]

names(rule, field, value) if value in rule[field]
