/** Field lines of a head or a trailer section, with what is wrong with them. */
import { type Finding, isInvalid } from './findings.ts';

export type Fields = readonly (readonly [name: string, value: string])[];

export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
export const LINE_BYTES_LARGE = 8_000;
const FIELDS_MANY = 100;

export function hasInvalid(findings: ReadonlySet<Finding>): boolean {
  for (const finding of findings) if (isInvalid(finding)) return true;
  return false;
}

export function charFindings(line: string, findings: Set<Finding>, tabAllowed: boolean): void {
  if (line.includes('\n')) findings.add('bare-lf');
  if (line.includes('\r')) findings.add('bare-cr');
  // eslint-disable-next-line no-control-regex -- control bytes are what is looked for
  if (/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(line) || (!tabAllowed && line.includes('\t'))) findings.add('control');
}

export function fieldLines(lines: readonly string[], findings: Set<Finding>): (readonly [string, string])[] {
  const fields: (readonly [string, string])[] = [];
  if (lines.length > FIELDS_MANY) findings.add('head-large');
  for (const line of lines) {
    charFindings(line, findings, true);
    if (line.length >= LINE_BYTES_LARGE) findings.add('head-large');
    if (/^[ \t]/.test(line)) {
      findings.add('line-folding');
      continue;
    }
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    if (/[ \t]$/.test(name) && colon >= 0) findings.add('space-before-colon');
    else if (colon < 0 || !TOKEN.test(name)) findings.add('field-name');
    fields.push([name, line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')]);
  }
  return fields;
}

export function valuesOf(fields: Fields, name: string): string[] {
  return fields.filter(([n]) => n.toLowerCase() === name).map(([, value]) => value);
}

export function listOf(fields: Fields, name: string): string[] {
  return valuesOf(fields, name)
    .flatMap((value) => value.split(','))
    .map((item) => item.replace(/^[ \t]+|[ \t]+$/g, ''));
}
