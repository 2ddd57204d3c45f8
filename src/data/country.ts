/** The country of a client's address, out of the database that control has given this lane; empty when it is not known. */
import { CountryDatabase } from '../base/mmdb.ts';
import { Recent } from '../base/recent.ts';
import { parseAddress } from './normalize/address.ts';

/** Addresses whose country is remembered: spares a walk of the tree. */
export const COUNTRIES_MAX = 8_192;

let database: CountryDatabase | null = null;
let known = new Recent<string, string>(COUNTRIES_MAX);

/** Another database; control has read it before. */
export function setCountries(memory: SharedArrayBuffer): void {
  database = new CountryDatabase(new Uint8Array(memory));
  known = new Recent(COUNTRIES_MAX);
}

/** ISO 3166-1 alpha-2 code. */
export function countryOf(address: string): string {
  if (database === null) return '';
  const before = known.get(address);
  if (before !== undefined) return before;
  const bytes = parseAddress(address);
  const country = bytes === null ? '' : database.country(bytes);
  known.set(address, country);
  return country;
}
