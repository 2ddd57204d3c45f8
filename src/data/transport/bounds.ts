/** Bounds that hold whichever transport serves: what stages and configurations may count on. */

/** Largest prefix of one body that a stage may ask to see, bytes. */
export const INSPECT_BYTES_MAX = 16 * 1024 * 1024;
/** Header edits of one exchange in one direction. */
export const EDITS_MAX = 64;
/** Bytes of our own answers (redirects, direct answers). */
export const OWN_ANSWER_BYTES_MAX = 1024 * 1024;
