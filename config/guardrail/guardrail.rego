# What a new bundle may not do, whoever signed it. Rego v1; the input is described by config/guardrail-input.schema.json.
#
# Compile: opa build -t wasm -e guardrail/deny guardrail.rego; the bootstrap names the module under `bundle.guardrail`.
package guardrail

import rego.v1

# No route loses its protection.
deny contains sprintf("route %s becomes public", [id]) if {
	some id, route in input.routes.changed
	route.before.access == "protected"
	route.after.access == "public"
}

# At most a fifth of the routes goes at once, unless there are very few.
deny contains sprintf("%d of %d routes go or change at once", [count(touched), total]) if {
	total := input.routes.total.before
	total >= 10
	count(touched) * 5 > total
}

touched contains id if some id, _ in input.routes.removed

touched contains id if some id, _ in input.routes.changed

# A limit is not taken away, and none is loosened more than tenfold.
deny contains sprintf("limit %s goes", [id]) if some id, _ in input.limits.removed

deny contains sprintf("limit %s admits more than ten times as much", [id]) if {
	some id, limit in input.limits.changed
	rate(limit.after) > 10 * rate(limit.before)
}

rate(limit) := limit.requests / limit.windowMs

# The WAF stays on where it is on.
deny contains sprintf("the WAF goes from %s to %s", [input.waf.before.mode, input.waf.after.mode]) if {
	input.waf.before.mode == "block"
	input.waf.after.mode != "block"
}

deny contains sprintf("the WAF of route %s goes off", [id]) if {
	some id, route in input.routes.changed
	"/waf/mode" in route.fields
	route.after.waf.mode == "off"
}

# The floor only rises, so that what was mended stays mended.
deny contains "the floor sinks" if input.candidate.floor < input.active.floor
