/** Numbers of a compiled rule set, as `wafStats` tells them. */

/** What the rules of a rule set see of answers. */
export interface WafAnswerStats {
  /** Some rule runs in phases 3 to 5. */
  readonly rules: boolean;
  /** Some rule looks at the body of an answer. Whether it is wanted of one exchange is in its verdict, `verdictWanted`. */
  readonly body: boolean;
  /** `SecResponseBodyMimeType`, lower case, without parameters: bodies of other types are never looked at. */
  readonly mimeTypes: string[];
  /** `SecResponseBodyLimit`, bytes. */
  readonly bodyBytesMax: number;
  /** `SecResponseBodyLimitAction Reject`: a longer body is `budget-exceeded` with the limit `response-body`; else its begin is inspected. */
  readonly rejectLonger: boolean;
}

/** Numbers of a compiled rule set. */
export interface WafStats {
  /** Rules, links of chains included. */
  readonly rules: number;
  /** Rules that are only visited when one of their literals occurs. */
  readonly prefilteredRules: number;
  /** Regular expressions. */
  readonly expressions: number;
  /** Memory of the compiled form in bytes, roughly; once per process. */
  readonly memoryBytes: number;
  /** Bytes of all files. */
  readonly sourceBytes: number;
  /** How long compiling took, in milliseconds. */
  readonly loadMs: number;
  /** Profiles alive. */
  readonly profiles: number;
  readonly answer: WafAnswerStats;
  /** Some rule reads what TLS handshakes told: requests should be packed with it (`WafPacker.tls`). */
  readonly readsTls: boolean;
}
