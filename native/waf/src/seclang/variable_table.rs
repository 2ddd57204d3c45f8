//! The table of variables. One row makes a variable known to the parser, the engine and the documentation.

/// How a variable holds its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    One,
    /// Many values with keys, filled from the request or answer.
    Many,
    /// Many values with keys, written by `setvar`.
    Store,
}

/// From when on a variable has its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// From phase 1 on.
    Head,
    /// From phase 2 on (some have a part of them before).
    Body,
    /// From phase 3 or 4 on.
    Response,
    /// Changes while rules run.
    Rule,
    /// Asks the clock, which is read once for each transaction.
    Clock,
    /// Known and always empty, because it cannot make sense here.
    Never,
}

/// One row of the table.
#[derive(Debug)]
pub struct VarDef {
    /// The variable.
    pub var: Var,
    /// Its name in SecLang.
    pub name: &'static str,
    /// One value or many.
    pub shape: Shape,
    /// When it is filled.
    pub life: Life,
    /// What it is.
    pub summary: &'static str,
}

macro_rules! variables {
    ($($var:ident $name:literal $shape:ident $life:ident $summary:literal;)*) => {
        /// A variable of SecLang.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Var { $(#[doc = $summary] $var,)* }

        /// All variables, in the order of [`Var`].
        pub static VARIABLES: &[VarDef] = &[
            $(VarDef { var: Var::$var, name: $name, shape: Shape::$shape, life: Life::$life, summary: $summary },)*
        ];
    };
}

variables! {
    Args "ARGS" Many Body "query and body arguments";
    ArgsCombinedSize "ARGS_COMBINED_SIZE" One Body "sum of the bytes of all argument names and values";
    ArgsGet "ARGS_GET" Many Head "query arguments";
    ArgsGetNames "ARGS_GET_NAMES" Many Head "names of the query arguments";
    ArgsNames "ARGS_NAMES" Many Body "names of the query and body arguments";
    ArgsPath "ARGS_PATH" Many Rule "what @restpath found, by name";
    ArgsPost "ARGS_POST" Many Body "body arguments";
    ArgsPostNames "ARGS_POST_NAMES" Many Body "names of the body arguments";
    AuthType "AUTH_TYPE" One Head "the scheme of the Authorization header";
    Duration "DURATION" One Clock "microseconds since the transaction began";
    Files "FILES" Many Body "client's names of uploaded files";
    FilesCombinedSize "FILES_COMBINED_SIZE" One Body "sum of the bytes of all uploaded files";
    FilesNames "FILES_NAMES" Many Body "form field names of uploaded files";
    FilesSizes "FILES_SIZES" Many Body "bytes of each uploaded file";
    FilesTmpContent "FILES_TMP_CONTENT" Many Body "content of each uploaded file";
    FilesTmpNames "FILES_TMPNAMES" Many Never "empty: uploads are never written to disk";
    FullRequest "FULL_REQUEST" One Body "headers and body, as ModSecurity joins them";
    FullRequestLength "FULL_REQUEST_LENGTH" One Head "bytes of the request line, headers and body";
    Geo "GEO" Many Never "empty: @geoLookup has no address database and never matches";
    Global "GLOBAL" Store Rule "persistent once initcol opened it; else values of this transaction";
    HighestSeverity "HIGHEST_SEVERITY" One Rule "the most severe (lowest) severity that matched, 255 at first";
    Https "HTTPS" One Head "1 when the request came through TLS, else 0";
    InboundDataError "INBOUND_DATA_ERROR" One Body "1 when the body is longer than what was handed in";
    Ip "IP" Store Rule "persistent once initcol opened it; else values of this transaction";
    MatchedVar "MATCHED_VAR" One Rule "the value that matched last, after transformations";
    MatchedVarName "MATCHED_VAR_NAME" One Rule "the full name of what matched last";
    MatchedVars "MATCHED_VARS" Many Rule "all values that matched in this rule and the links before it";
    MatchedVarsNames "MATCHED_VARS_NAMES" Many Rule "their names";
    ModsecBuild "MODSEC_BUILD" One Head "a version number";
    MultipartBoundaryQuoted "MULTIPART_BOUNDARY_QUOTED" One Body "1 when the boundary is quoted";
    MultipartBoundaryWhitespace "MULTIPART_BOUNDARY_WHITESPACE" One Body "1 when the boundary holds white space";
    MultipartCrlfLfLines "MULTIPART_CRLF_LF_LINES" One Body "1 when lines end in both ways";
    MultipartDataAfter "MULTIPART_DATA_AFTER" One Body "1 when data follows the last boundary";
    MultipartDataBefore "MULTIPART_DATA_BEFORE" One Body "1 when data precedes the first boundary";
    MultipartFileLimitExceeded "MULTIPART_FILE_LIMIT_EXCEEDED" One Body "1 when there are too many files";
    MultipartFilename "MULTIPART_FILENAME" Many Body "the file names of the parts";
    MultipartHeaderFolding "MULTIPART_HEADER_FOLDING" One Body "1 when a part's header is folded";
    MultipartInvalidHeaderFolding "MULTIPART_INVALID_HEADER_FOLDING" One Body "1 when a part's header is folded wrongly";
    MultipartInvalidPart "MULTIPART_INVALID_PART" One Body "1 when a part cannot be read";
    MultipartInvalidQuoting "MULTIPART_INVALID_QUOTING" One Body "1 when a parameter is quoted wrongly";
    MultipartLfLine "MULTIPART_LF_LINE" One Body "1 when a line ends in a bare line feed";
    MultipartMissingSemicolon "MULTIPART_MISSING_SEMICOLON" One Body "1 when a semicolon is missing";
    MultipartName "MULTIPART_NAME" Many Body "the field names of the parts";
    MultipartPartHeaders "MULTIPART_PART_HEADERS" Many Body "the header lines of each part, by field name";
    MultipartStrictError "MULTIPART_STRICT_ERROR" One Body "1 when any of the multipart flags is";
    MultipartUnmatchedBoundary "MULTIPART_UNMATCHED_BOUNDARY" One Body "1 when a line looks like a boundary and is none";
    OutboundDataError "OUTBOUND_DATA_ERROR" One Response "1 when the answer is longer than its limit";
    PathInfo "PATH_INFO" One Head "same as REQUEST_FILENAME";
    QueryString "QUERY_STRING" One Head "the query, not decoded";
    RemoteAddr "REMOTE_ADDR" One Head "address of the client";
    RemoteHost "REMOTE_HOST" One Head "same as REMOTE_ADDR: names are never looked up";
    RemotePort "REMOTE_PORT" One Head "port of the client";
    RemoteUser "REMOTE_USER" One Head "the user of Basic authentication, not checked";
    ReqbodyError "REQBODY_ERROR" One Body "1 when the body could not be read";
    ReqbodyErrorMsg "REQBODY_ERROR_MSG" One Body "why";
    ReqbodyProcessor "REQBODY_PROCESSOR" One Rule "URLENCODED, MULTIPART, JSON, XML or empty";
    ReqbodyProcessorError "REQBODY_PROCESSOR_ERROR" One Body "same as REQBODY_ERROR";
    ReqbodyProcessorErrorMsg "REQBODY_PROCESSOR_ERROR_MSG" One Body "same as REQBODY_ERROR_MSG";
    RequestBasename "REQUEST_BASENAME" One Head "the path after its last slash";
    RequestBody "REQUEST_BODY" One Body "the body, if URL-encoded or forced";
    RequestBodyRaw "REQUEST_BODY_RAW" One Body "the body as received, whatever it is";
    RequestBodyLength "REQUEST_BODY_LENGTH" One Body "bytes of the body";
    RequestCookies "REQUEST_COOKIES" Many Head "cookies";
    RequestCookiesNames "REQUEST_COOKIES_NAMES" Many Head "names of the cookies";
    RequestFilename "REQUEST_FILENAME" One Head "the path, decoded once";
    RequestHeaders "REQUEST_HEADERS" Many Head "header fields";
    RequestHeadersNames "REQUEST_HEADERS_NAMES" Many Head "names of the header fields";
    RequestLanguages "REQUEST_LANGUAGES" Many Head "language tags of Accept-Language, best first, lower case";
    RequestLine "REQUEST_LINE" One Head "the request line";
    RequestMediaType "REQUEST_MEDIA_TYPE" One Head "the media type of the body without parameters";
    RequestMethod "REQUEST_METHOD" One Head "the method";
    RequestPathRaw "REQUEST_PATH_RAW" One Head "the path as received";
    RequestProtocol "REQUEST_PROTOCOL" One Head "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`";
    RequestUri "REQUEST_URI" One Head "path and query as received";
    RequestUriRaw "REQUEST_URI_RAW" One Head "the request target as received";
    ResBodyError "RES_BODY_ERROR" One Response "1 when the answer's body could not be read";
    ResBodyErrorMsg "RES_BODY_ERROR_MSG" One Response "why";
    ResBodyProcessor "RES_BODY_PROCESSOR" One Response "JSON, XML or empty";
    ResBodyProcessorError "RES_BODY_PROCESSOR_ERROR" One Response "same as RES_BODY_ERROR";
    ResBodyProcessorErrorMsg "RES_BODY_PROCESSOR_ERROR_MSG" One Response "same as RES_BODY_ERROR_MSG";
    Resource "RESOURCE" Store Rule "persistent once initcol or setrsc opened it; else values of this transaction";
    ResponseArgs "RESPONSE_ARGS" Many Response "arguments parsed from a JSON answer";
    ResponseBody "RESPONSE_BODY" One Response "the answer's body";
    ResponseContentLength "RESPONSE_CONTENT_LENGTH" One Response "bytes of the answer's body";
    ResponseContentType "RESPONSE_CONTENT_TYPE" One Response "its media type";
    ResponseHeaders "RESPONSE_HEADERS" Many Response "header fields of the answer";
    ResponseHeadersNames "RESPONSE_HEADERS_NAMES" Many Response "their names";
    ResponseProtocol "RESPONSE_PROTOCOL" One Response "what the upstream spoke: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`; under the transport uws always `HTTP/1.1`";
    ResponseStatus "RESPONSE_STATUS" One Response "its status";
    ResponseXml "RESPONSE_XML" Many Response "`/*` and `//@*` of an answer read as XML";
    Rule "RULE" Many Rule "id, msg, severity of the rule that runs";
    ServerAddr "SERVER_ADDR" One Head "our own address";
    ServerName "SERVER_NAME" One Head "the host name of the request";
    ServerPort "SERVER_PORT" One Head "our own port";
    Session "SESSION" Store Rule "persistent once initcol or setsid opened it; else values of this transaction";
    SessionId "SESSIONID" One Rule "what setsid said";
    StatusLine "STATUS_LINE" One Response "the answer's status line: protocol and status, as in `HTTP/1.1 200`";
    Time "TIME" One Clock "the time of day as hh:mm:ss, UTC";
    TimeDay "TIME_DAY" One Clock "day of the month, 1 to 31";
    TimeEpoch "TIME_EPOCH" One Clock "seconds since 1970";
    TimeHour "TIME_HOUR" One Clock "hour, UTC";
    TimeMin "TIME_MIN" One Clock "minute";
    TimeMon "TIME_MON" One Clock "month, 0 to 11";
    TimeSec "TIME_SEC" One Clock "second";
    TimeWday "TIME_WDAY" One Clock "day of the week, 0 (Sunday) to 6";
    TimeYear "TIME_YEAR" One Clock "year";
    TlsCipher "TLS_CIPHER" One Head "IANA name of the cipher suite; empty without TLS, or when the transport does not know";
    TlsClientFingerprint "TLS_CLIENT_FINGERPRINT" One Head "SHA-256 of the client's verified certificate, hexadecimal";
    TlsClientNames "TLS_CLIENT_NAMES" Many Head "its alternative names: DNS:…, IP:…, email:…, URI:…";
    TlsClientSubject "TLS_CLIENT_SUBJECT" One Head "its subject";
    TlsJa4 "TLS_JA4" One Head "JA4 fingerprint of the ClientHello";
    TlsServerName "TLS_SERVER_NAME" One Head "the server name that the client asked for";
    TlsVersion "TLS_VERSION" One Head "TLSv1.3 or TLSv1.2";
    Tx "TX" Store Rule "values that rules set";
    UniqueId "UNIQUE_ID" One Head "the request id";
    UrlencodedError "URLENCODED_ERROR" One Body "1 when a percent escape of the body is wrong";
    User "USER" Store Rule "persistent once initcol or setuid opened it; else values of this transaction";
    UserId "USERID" One Rule "what setuid said";
    WebAppId "WEBAPPID" One Head "what SecWebAppId says";
    Xml "XML" Many Body "`/*`: the text of the document, and what its document type declares; `//@*`: every attribute value";
}

/// How many variables there are.
pub const VARIABLE_COUNT: usize = VARIABLES.len();

impl Var {
    /// The row of this variable.
    pub fn def(self) -> &'static VarDef {
        &VARIABLES[self as usize]
    }

    /// The name in SecLang.
    pub fn name(self) -> &'static str {
        self.def().name
    }

    /// Looks a name up, ignoring case.
    pub fn from_name(name: &str) -> Option<Var> {
        VARIABLES
            .iter()
            .find(|d| d.name.eq_ignore_ascii_case(name))
            .map(|d| d.var)
    }

    /// True when the values do not change while the rules of a phase run, so that they can be searched before.
    pub fn is_fixed(self) -> bool {
        matches!(self.def().life, Life::Head | Life::Body | Life::Response)
    }

    /// True when actions and operators write it, beside `setvar`.
    pub fn is_written_by_rules(self) -> bool {
        matches!(
            self,
            Self::ReqbodyProcessor | Self::ArgsPath | Self::SessionId | Self::UserId
        )
    }

    /// True when a selector after a colon makes sense.
    pub fn has_keys(self) -> bool {
        self.def().shape != Shape::One
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum_and_names_are_unique() {
        for (i, d) in VARIABLES.iter().enumerate() {
            assert_eq!(d.var as usize, i);
            assert_eq!(Var::from_name(&d.name.to_ascii_lowercase()), Some(d.var));
        }
    }
}
