# METADATA
# title: How fine a figure is
# description: |
#   Compares the detail of a request or a table with the detail that was agreed. The service supplies the levels of
#   each dimension's codelist, from the coarsest to the finest:
#
#     data.levels = {"SECTION": ["total", "state", "section", "point"], "SEX": [], …}
#
#   Agreed detail names for each dimension a level, or "_T" for the total alone; for FREQ it names a frequency. What it
#   does not name, or names by no level of the codelist, goes as its coarsest: the total, for FREQ the lowest frequency.
package comity.detail

# METADATA
# description: The dimensions whose detail is agreed; the others say whose and what a figure is.
dimensions contains dimension if {
	some dimension, _ in data.levels
	not dimension in data.detail.identity
}

dimensions contains "FREQ"

# METADATA
# description: The levels of a dimension, the coarsest first.
order("FREQ") := data.detail.frequencies

order(dimension) := data.levels[dimension] if dimension != "FREQ"

# METADATA
# description: The place of a level among those of the dimension; undefined for what is no level of it.
rank(dimension, level) := place if {
	some place, name in order(dimension)
	name == level
}

rank(dimension, "_T") := 0 if dimension != "FREQ"

# METADATA
# description: What a dimension goes as where nothing is agreed.
coarsest("FREQ") := data.detail.frequencies[0]

coarsest(dimension) := "_T" if dimension != "FREQ"

# METADATA
# description: The level agreed for a dimension.
agreed(detail, dimension) := detail[dimension] if named(detail, dimension)

agreed(detail, dimension) := coarsest(dimension) if not named(detail, dimension)

named(detail, dimension) if rank(dimension, detail[dimension]) >= 0

# METADATA
# description: 'The level that an item of a request, {"code", "level"}, asks for.'
asked("FREQ", item) := item.code

asked(dimension, item) := "_T" if {
	dimension != "FREQ"
	item.code == "_T"
}

asked(dimension, item) := item.level if {
	dimension != "FREQ"
	item.code != "_T"
}

# METADATA
# description: Whether a level of a dimension is as coarse as agreed, or coarser. What is no level of it is not.
within(detail, dimension, level) if rank(dimension, level) <= rank(dimension, agreed(detail, dimension))

# METADATA
# description: |
#   What of a request, {dimension: [{"code", "level"}…]}, is finer than agreed: {"dimension", "code", "level", "agreed"}
#   each. A dimension or level that is not known is finer than anything.
finer(detail, requested) := {item |
	some dimension, codes in requested
	not dimension in data.detail.identity
	some code in codes
	not acceptable(detail, dimension, code)
	item := {
		"dimension": dimension,
		"code": object.get(code, "code", ""),
		"level": object.get(code, "level", ""),
		"agreed": agreed(detail, dimension),
	}
}

acceptable(detail, dimension, code) if within(detail, dimension, asked(dimension, code))
