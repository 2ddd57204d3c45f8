# Who may do what in the demo application. Rego v1.
#
# Asked as `authz/decision`, so that the decision record says why. What it sees is listed under `input` in policies.yaml.
package authz

import rego.v1

default decision := {"allow": false, "reason": "no rule allows this"}

decision := {"allow": false, "reason": "a token names its own tenant and no other"} if foreign_tenant

else := {"allow": false, "reason": "/api/admin needs the role admin"} if {
	administrative
	not has_role("admin")
}

else := {"allow": true, "reason": rule.name} if some rule in granted

# The first rule of the table that fits; the table is small, so a scan costs little.
granted contains rule if {
	some rule in data.rules
	input.method in rule.methods
	startswith(input.path, rule.prefix)
	some role in rule.roles
	has_role(role)
}

administrative if input.path == "/api/admin"

administrative if startswith(input.path, "/api/admin/")

has_role(role) if role in input.user.roles

# The tenant that the request is routed by and the one that the token was made for.
foreign_tenant if {
	input.tenant
	input.user.claims.tenant
	input.tenant != input.user.claims.tenant
}

default allow := false

allow if decision.allow
