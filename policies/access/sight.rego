package comity.access

# METADATA
# description: |
#   What the caller sees of the figures: those with one of the codes of CL_CONF_STATUS (`"*"`: with any), and whether those
#   that are under embargo are there. Of several roles, what any of them sees. The input is that of `allow`; whoever no rule
#   names sees what is free. A figure of another code has no value in an answer; one under embargo is not in it at all.
# entrypoint: true
sight := {"confStatus": sort(shown), "embargoed": embargo_lifted}

shown contains "F"

shown contains "N" if "analyst" in acting

shown contains "*" if {
	some role in {"statistician", "officer", "auditor"}
	role in acting
}

# Sharing works on the figures; what leaves is decided by other rules.
shown contains "*" if working("sharing")

# What risk makes of figures is for analysts, and counts them one by one.
shown contains "N" if working("risk")

default embargo_lifted := false

# Sharing and risk do not: neither looks at EMBARGO_TIME, and what they make of a figure is seen by others.
embargo_lifted if {
	some role in {"statistician", "officer"}
	role in acting
}

# The roles in which a person acts.
acting contains role if {
	for_persons
	some role in input.person.roles
}

working(service) if {
	own_state
	input.person == null
	input.workload.service == service
}
