/** Settings of the OWASP Core Rule Set as fields with types: what its `crs-setup.conf` would set as `tx.…`, so that nobody need edit that file. */
import Type, { type Static } from 'typebox';
import { closed } from './fields.ts';

/** A text without quotes, bars, line breaks or macros. */
const PLAIN = '^[^"\'|%\\\\\\u0000-\\u0020\\u007f]+$';

const words = (description: string, examples: string[], maxItems = 256) =>
  Type.Optional(
    Type.Array(Type.String({ pattern: PLAIN, maxLength: 128, description: 'One of them.', examples }), {
      maxItems,
      description,
    }),
  );

const count = (description: string, maximum: number) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum, description }));

/** By the name that an operator writes. */
export const CRS_SETTINGS = {
  allowedMethods: words('Methods that pass (`tx.allowed_methods`; CRS: GET, HEAD, POST, OPTIONS).', ['PUT'], 64),
  allowedContentTypes: words(
    'Media types of request bodies that pass (`tx.allowed_request_content_type`; CRS: forms, XML, SOAP and JSON).',
    ['application/json'],
  ),
  allowedCharsets: words('Character sets of request bodies that pass (`tx.allowed_request_content_type_charset`).', [
    'utf-8',
  ]),
  allowedHttpVersions: words('Protocols that pass (`tx.allowed_http_versions`).', ['HTTP/1.1', 'HTTP/2.0'], 16),
  restrictedExtensions: words('File name extensions that are blocked, with their dot (`tx.restricted_extensions`).', [
    '.bak',
  ]),
  restrictedHeaders: words('Header fields that are blocked (`tx.restricted_headers_basic`).', ['proxy']),
  restrictedHeadersExtended: words(
    'Header fields that are blocked from paranoia level 2 (`tx.restricted_headers_extended`).',
    ['accept-charset'],
  ),
  argumentsMax: count('Most arguments of a request (`tx.max_num_args`; CRS: 255 where it is set).', 100_000),
  argumentNameBytesMax: count('Longest name of an argument (`tx.arg_name_length`). Unit: bytes.', 16_777_216),
  argumentBytesMax: count('Longest value of an argument (`tx.arg_length`). Unit: bytes.', 16_777_216),
  argumentsBytesMax: count(
    'Longest values of all arguments together (`tx.total_arg_length`). Unit: bytes.',
    16_777_216,
  ),
  fileBytesMax: count('Largest uploaded file (`tx.max_file_size`). Unit: bytes.', 1_073_741_824),
  filesBytesMax: count('Uploaded files together (`tx.combined_file_sizes`). Unit: bytes.', 1_073_741_824),
  validateUtf8: Type.Optional(
    Type.Boolean({ description: 'Arguments must be UTF-8 (`tx.crs_validate_utf8_encoding`; CRS 4: true).' }),
  ),
  forceUrlencoded: Type.Optional(
    Type.Boolean({
      description: 'Bodies of unknown media types are read as forms (`tx.enforce_bodyproc_urlencoded`; CRS: false).',
    }),
  ),
  allowMethodOverride: Type.Optional(
    Type.Boolean({
      description: 'The argument `_method` may name another method (`tx.allow_method_override_parameter`; CRS: false).',
    }),
  ),
  skipResponseAnalysis: Type.Optional(
    Type.Boolean({ description: 'The CRS leaves answers alone (`tx.crs_skip_response_analysis`; CRS: false).' }),
  ),
  reportingLevel: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 5,
      description: 'How much the reporting rules 980… say (`tx.reporting_level`; CRS: 4).',
    }),
  ),
  scores: Type.Optional(
    closed(
      {
        critical: count('CRS: 5.', 1_000),
        error: count('CRS: 4.', 1_000),
        warning: count('CRS: 3.', 1_000),
        notice: count('CRS: 2.', 1_000),
      },
      'What a match adds to the score, by severity (`tx.critical_anomaly_score` …).',
    ),
  ),
  set: Type.Optional(
    Type.Record(Type.String(), Type.String({ maxLength: 4_096, description: 'Its value.' }), {
      description:
        'Any other variable of the collection TX, by its name without `tx.`: settings of plugins and of own rules.',
      examples: [{ 'wordpress-rule-exclusions-plugin_enabled': '1' }],
    }),
  ),
};

const CrsSettings = closed(CRS_SETTINGS, 'Settings of the Core Rule Set.');
export type CrsSettings = Static<typeof CrsSettings>;
