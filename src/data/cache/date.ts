/** HTTP-date (RFC 9110 §5.6.7): read in its three forms, case aside; anything else is no date. */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const TIME = '(\\d\\d):(\\d\\d):(\\d\\d)';
const DAY = '(?:mon|tue|wed|thu|fri|sat|sun)';
const LONG_DAY = '(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)';
const MONTH = `(${MONTHS.join('|')})`;
const IMF = new RegExp(`^${DAY}, (\\d\\d) ${MONTH} (\\d{4}) ${TIME} gmt$`, 'i');
const RFC_850 = new RegExp(`^${LONG_DAY}, (\\d\\d)-${MONTH}-(\\d\\d) ${TIME} gmt$`, 'i');
const ASCTIME = new RegExp(`^${DAY} ${MONTH} ([ \\d]\\d) ${TIME} (\\d{4})$`, 'i');
/** A year of two digits lies at most so far ahead; else it is of the century before. */
const AHEAD_YEARS = 50;
/** Longest text that is looked at. */
const CHARS_MAX = 40;

/** Epoch ms, or NaN. `now` (epoch ms) says which century a year of two digits belongs to. */
export function parseHttpDate(text: string, now: number): number {
  if (text.length > CHARS_MAX) return NaN;
  const imf = IMF.exec(text);
  if (imf !== null) return at(imf[3], imf[2], imf[1], imf[4], imf[5], imf[6]);
  const old = RFC_850.exec(text);
  if (old !== null) {
    const thisYear = new Date(now).getUTCFullYear();
    let year = thisYear - (thisYear % 100) + Number(old[3]);
    if (year > thisYear + AHEAD_YEARS) year -= 100;
    return at(String(year), old[2], old[1], old[4], old[5], old[6]);
  }
  const asctime = ASCTIME.exec(text);
  return asctime === null ? NaN : at(asctime[6], asctime[1], asctime[2], asctime[3], asctime[4], asctime[5]);
}

type Text = string | undefined;

function at(year: Text, month: Text, day: Text, hour: Text, minute: Text, second: Text): number {
  const [d, h, m, s] = [Number(day), Number(hour), Number(minute), Number(second)];
  if (h > 23 || m > 59 || s > 60) return NaN;
  const monthIndex = MONTHS.indexOf((month ?? '').toLowerCase());
  const ms = Date.UTC(Number(year), monthIndex, d, h, m, s);
  // 31 February would become a day of March.
  return d >= 1 && new Date(Date.UTC(Number(year), monthIndex, d)).getUTCDate() === d ? ms : NaN;
}
