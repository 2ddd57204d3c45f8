//! Engine settings that rule files may carry.

use super::diagnostic::{Place, Problem};

/// Whether rules run and whether they may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineMode {
    /// Rules run and refuse.
    On,
    /// Rules do not run.
    Off,
    /// Rules run and only report.
    DetectionOnly,
}

impl EngineMode {
    /// Parses `On`, `Off` or `DetectionOnly`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text.to_ascii_lowercase().as_str() {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "detectiononly" => Ok(Self::DetectionOnly),
            _ => Err(Problem::new(
                format!("{text} is no engine mode"),
                "write On, Off or DetectionOnly",
            )),
        }
    }
}

/// What happens with a body that is longer than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitAction {
    /// The request is refused.
    Reject,
    /// The first part is inspected, the rest passes.
    ProcessPartial,
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProcessor {
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `multipart/form-data`.
    Multipart,
    /// JSON, flattened to `json.a.b` arguments.
    Json,
    /// XML: text and attribute values.
    Xml,
    /// Not parsed.
    Raw,
}

impl BodyProcessor {
    /// Parses the name that `ctl:requestBodyProcessor` takes.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text.to_ascii_uppercase().as_str() {
            "URLENCODED" => Ok(Self::Urlencoded),
            "MULTIPART" => Ok(Self::Multipart),
            "JSON" => Ok(Self::Json),
            "XML" => Ok(Self::Xml),
            "RAW" => Ok(Self::Raw),
            _ => Err(Problem::new(
                format!("{text} is no body processor"),
                "write URLENCODED, MULTIPART, JSON, XML or RAW",
            )),
        }
    }

    /// The value of `REQBODY_PROCESSOR`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Urlencoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Raw => "RAW",
        }
    }
}

/// All settings with their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SecRuleEngine`; `None` when no file says it.
    pub engine: Option<EngineMode>,
    /// `SecRequestBodyAccess`.
    pub request_body_access: bool,
    /// `SecRequestBodyLimit`, bytes.
    pub request_body_bytes_max: u64,
    /// `SecRequestBodyLimitAction`.
    pub request_body_limit_action: LimitAction,
    /// `SecRequestBodyNoFilesLimit`, bytes.
    pub no_files_bytes_max: Option<u64>,
    /// `SecRequestBodyJsonDepthLimit`.
    pub json_depth_max: u32,
    /// `SecArgumentsLimit`.
    pub arguments_max: u32,
    /// `SecUploadFileLimit`.
    pub files_max: u32,
    /// `SecArgumentSeparator`.
    pub argument_separator: u8,
    /// `SecResponseBodyAccess`.
    pub response_body_access: bool,
    /// `SecResponseBodyLimit`, bytes.
    pub response_body_bytes_max: u64,
    /// `SecResponseBodyLimitAction`.
    pub response_body_limit_action: LimitAction,
    /// `SecResponseBodyJsonDepthLimit`.
    pub response_json_depth_max: u32,
    /// `SecCollectionTimeout`, seconds.
    pub collection_timeout_s: u32,
    /// `SecUnicodeMapFile`: file, code page, and where it is written.
    pub unicode_map: Option<(String, u32, Place)>,
    /// `SecResponseBodyMimeType`.
    pub response_body_mime_types: Vec<String>,
    /// `SecWebAppId`.
    pub web_app_id: String,
    /// `SecComponentSignature`, in order.
    pub signatures: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: None,
            request_body_access: true,
            request_body_bytes_max: 128 * 1024,
            request_body_limit_action: LimitAction::Reject,
            no_files_bytes_max: None,
            json_depth_max: 512,
            arguments_max: 1000,
            files_max: 100,
            argument_separator: b'&',
            response_body_access: false,
            response_body_bytes_max: 512 * 1024,
            response_body_limit_action: LimitAction::ProcessPartial,
            response_json_depth_max: 512,
            collection_timeout_s: 3600,
            unicode_map: None,
            response_body_mime_types: vec!["text/plain".into(), "text/html".into(), "text/xml".into()],
            web_app_id: String::new(),
            signatures: Vec::new(),
        }
    }
}
