/** What a file of cache tests holds (its `testsuite-schema.json`), and the values in it that stand for others. */

/** Name and value; a number among dates is seconds from the origin's now. The third, false: the client need not see it as it was sent. */
export type HeaderLine = readonly [name: string, value?: string | number, third?: boolean | string | number];

/** One request of a test, what the origin answers, and what must be seen on both sides. */
export interface CacheRequest {
  readonly request_method?: string;
  readonly request_headers?: readonly HeaderLine[];
  readonly request_body?: string;
  readonly query_arg?: string;
  readonly filename?: string;
  readonly pause_after?: boolean;
  readonly disconnect?: boolean;
  readonly magic_locations?: boolean;
  readonly magic_ims?: boolean;
  readonly rfc850date?: readonly string[];
  readonly interim_responses?: readonly (readonly [status: number, headers?: readonly HeaderLine[]])[];
  readonly response_status?: readonly [status: number, phrase: string];
  readonly response_headers?: readonly HeaderLine[];
  readonly response_body?: string | null;
  readonly response_pause?: number;
  readonly check_body?: boolean;
  readonly expected_type?: 'cached' | 'not_cached' | 'lm_validated' | 'etag_validated';
  readonly expected_method?: string;
  readonly expected_status?: number | null;
  readonly expected_request_headers?: readonly (string | HeaderLine)[];
  readonly expected_request_headers_missing?: readonly (string | HeaderLine)[];
  readonly expected_response_headers?: readonly (string | HeaderLine)[];
  readonly expected_response_headers_missing?: readonly (string | HeaderLine)[];
  readonly expected_response_text?: string | null;
  readonly expected_interim_responses?: readonly (readonly [status: number, headers?: readonly HeaderLine[]])[];
  /** Its failure says that the test could not be made, not that it failed. */
  readonly setup?: boolean;
  readonly setup_tests?: readonly string[];
}

export type Kind = 'required' | 'optimal' | 'check';

export interface CacheTest {
  readonly id: string;
  readonly name: string;
  readonly kind?: Kind;
  readonly browser_only?: boolean;
  readonly requests: readonly CacheRequest[];
}

export interface CacheSet {
  readonly id: string;
  readonly tests: readonly CacheTest[];
}

const DATES: ReadonlySet<string> = new Set([
  'date',
  'expires',
  'last-modified',
  'if-modified-since',
  'if-unmodified-since',
]);
const LOCATIONS: ReadonlySet<string> = new Set(['location', 'content-location']);

/** The value that goes over the wire. `now`: epoch ms of the origin; `base`: path that was asked for. */
export function valueOf(line: HeaderLine, request: CacheRequest, now: number, base: string): string {
  const name = line[0].toLowerCase();
  const [, value = ''] = line;
  if (DATES.has(name) && typeof value === 'number') {
    const date = new Date(now + value * 1000);
    return request.rfc850date?.includes(name) === true ? rfc850(date) : date.toUTCString();
  }
  if (LOCATIONS.has(name) && request.magic_locations === true) return value === '' ? base : `${base}/${value}`;
  return String(value);
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** The obsolete form of RFC 850 (RFC 9110 §5.6.7). */
function rfc850(date: Date): string {
  const [, day = '', month = '', year = '', time = ''] = date.toUTCString().split(' ');
  return `${DAYS[date.getUTCDay()]}, ${day}-${month}-${year.slice(2)} ${time} GMT`;
}
