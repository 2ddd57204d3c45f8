//! Directives that are known and make no sense in a proxy, with what to do instead.

/// Directives of other engines that are refused, with the reason.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    ("SecRuleScript", "rules never run programs; write a SecRule or a policy"),
    (
        "SecRuleInheritance",
        "the gateway has one rule set per route; use exclusions",
    ),
    (
        "SecRemoteRules",
        "rules come only from the signed bundle; put the files there",
    ),
    (
        "SecRemoteRulesFailAction",
        "rules come only from the signed bundle; leave it out",
    ),
    ("SecChrootDir", "the gateway runs in its container; leave it out"),
    ("SecConnEngine", "use the limits of the admit stage"),
    ("SecConnReadStateLimit", "use the limits of the admit stage"),
    ("SecConnWriteStateLimit", "use the limits of the admit stage"),
    ("SecReadStateLimit", "use the limits of the admit stage"),
    ("SecWriteStateLimit", "use the limits of the admit stage"),
    (
        "SecContentInjection",
        "answers are not edited by rules; use the respond stage",
    ),
    ("SecDisableBackendCompression", "use the respond stage"),
    (
        "SecGeoLookupDb",
        "the engine has no address database; use @ipMatchFromFile with the networks, or a policy",
    ),
    (
        "SecGsbLookupDb",
        "rules never ask the network; put the addresses into a file of the bundle and use @pmFromFile",
    ),
    (
        "SecGuardianLog",
        "rules never start programs; read the gateway's records",
    ),
    (
        "SecHttpBlKey",
        "rules never ask the network; put the addresses into a file of the bundle and use @ipMatchFromFile",
    ),
    (
        "SecHashEngine",
        "answers are not edited by rules; sign links in the application",
    ),
    (
        "SecHashKey",
        "answers are not edited by rules; sign links in the application",
    ),
    (
        "SecHashParam",
        "answers are not edited by rules; sign links in the application",
    ),
    (
        "SecHashMethodPm",
        "answers are not edited by rules; sign links in the application",
    ),
    (
        "SecHashMethodRx",
        "answers are not edited by rules; sign links in the application",
    ),
    (
        "SecStreamInBodyInspection",
        "bodies are inspected as a whole up to SecRequestBodyLimit; leave it out",
    ),
    (
        "SecStreamOutBodyInspection",
        "bodies are inspected as a whole up to SecResponseBodyLimit; leave it out",
    ),
    (
        "SecUnicodeMap",
        "write SecUnicodeMapFile with a file of the bundle and the number of a code page",
    ),
    (
        "SecUnicodeCodePage",
        "write SecUnicodeMapFile with a file of the bundle and the number of a code page",
    ),
    (
        "SecFilterEngine",
        "this is a directive of ModSecurity 1; write SecRuleEngine",
    ),
    ("SecFilter", "this is a directive of ModSecurity 1; write SecRule"),
    (
        "SecFilterSelective",
        "this is a directive of ModSecurity 1; write SecRule",
    ),
];
