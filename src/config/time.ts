/** Points in time as documents say them: a UTC date or time of RFC 3339, on a day that the calendar has. */
import { Format } from 'typebox/format';

/** The form alone. Seconds may be left out, and so may the time of the day. */
export const TIME_PATTERN =
  '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?Z)?$';
/** What the form cannot say, by its name in a schema. */
export const CALENDAR_FORMAT = 'utc-calendar';

const FORM = new RegExp(TIME_PATTERN);

/** True for a day that there is. `Date.parse` takes 31 February for 3 March. */
export function isInCalendar(time: string): boolean {
  const day = time.slice(0, 10);
  const ms = Date.parse(day);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(day);
}

// Of a text of another form, the pattern tells already.
Format.Set(CALENDAR_FORMAT, (text) => !FORM.test(text) || isInCalendar(text));

/** A time as it was checked, with all of its parts: the form that a release document has to have. */
export function fullTime(time: string): string {
  if (time.length === 10) return `${time}T00:00:00Z`;
  return time.length === 17 ? `${time.slice(0, 16)}:00Z` : time;
}
