/** Texts with `${variables}` become parts; `$${` is `${`. */
import { suggestion } from '../../config/nearest.ts';
import { NAMED_VARIABLES, type TextPart, type VariableKind, VARIABLES } from '../../snapshot/variables.ts';

/** Variables of one text. */
export const VARIABLES_MAX = 32;
/** Field names (RFC 9110 §5.1). */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

/** What a text is made of; `report` hears what is wrong with it. A text without variables is one part, or none when it is empty. */
export function partsOf(
  text: string,
  report: (message: string) => void,
  known: Readonly<Record<string, string>> = VARIABLES,
  named: Readonly<Record<string, string>> = NAMED_VARIABLES,
): TextPart[] {
  const parts: TextPart[] = [];
  let literal = '';
  let variables = 0;
  for (let at = 0; at < text.length; ) {
    if (text.startsWith('$${', at)) {
      literal += '${';
      at += 3;
      continue;
    }
    if (!text.startsWith('${', at)) {
      literal += text[at];
      at++;
      continue;
    }
    const end = text.indexOf('}', at);
    if (end < 0) {
      report(`\`\${\` without \`}\` in "${text}"; write \`$\${\` for the characters themselves`);
      return parts;
    }
    const variable = variableOf(text.slice(at + 2, end), report, known, named);
    if (variable === null) return parts;
    if (literal !== '') parts.push(literal);
    literal = '';
    parts.push(variable);
    if (++variables > VARIABLES_MAX) {
      report(`more than ${VARIABLES_MAX} variables in one text`);
      return parts;
    }
    at = end + 1;
  }
  if (literal !== '') parts.push(literal);
  return parts;
}

/** The text of parts that are the same for every request; null when there is a variable among them. */
export function literalOf(parts: readonly TextPart[]): string | null {
  let text = '';
  for (const part of parts) {
    if (typeof part !== 'string') return null;
    text += part;
  }
  return text;
}

/** True for parts that are the same for every request. */
export function isLiteral(parts: readonly TextPart[]): boolean {
  return literalOf(parts) !== null;
}

function variableOf(
  written: string,
  report: (message: string) => void,
  known: Readonly<Record<string, string>>,
  named: Readonly<Record<string, string>>,
): TextPart | null {
  const colon = written.indexOf(':');
  const from = colon < 0 ? written : written.slice(0, colon);
  const name = colon < 0 ? '' : written.slice(colon + 1);
  const mend = '; write `$${` for the characters themselves';
  if (Object.hasOwn(named, from)) {
    if (name === '') report(`\${${written}} needs a name: \${${from}:…}`);
    else if (from === 'header' && !TOKEN.test(name)) report(`"${name}" is not a header field name`);
    else if (name.length > 128) report(`the name in \${${written}} is longer than 128 characters`);
    else return { from: from as VariableKind, name: from === 'header' ? name.toLowerCase() : name };
    return null;
  }
  if (Object.hasOwn(known, from)) {
    if (colon < 0) return { from: from as VariableKind, name: '' };
    report(`\${${from}} takes no name`);
    return null;
  }
  const all = [...Object.keys(known), ...Object.keys(named).map((kind) => `${kind}:…`)];
  report(`there is no variable "${written}"${suggestion(written, all)}${mend}`);
  return null;
}
