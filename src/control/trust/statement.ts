import { type Digest, digestHex } from '../oci/digest.ts';
import { canonicalJsonBytes, parseStrictJson, Shape } from '../oci/json.ts';

export const IN_TOTO = 'application/vnd.in-toto+json';
const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
const PREDICATE_TYPE = 'https://sigstore.dev/cosign/sign/v1';
const STATEMENT_BYTES_MAX = 64 * 1024;
const SUBJECTS_MAX = 64;

/** The in-toto statement "this manifest is signed", as cosign v3 writes it. */
export function statementFor(subject: Digest, annotations?: Readonly<Record<string, string>>): Uint8Array {
  return canonicalJsonBytes({
    _type: STATEMENT_TYPE,
    subject: [{ digest: { sha256: digestHex(subject) }, ...(annotations === undefined ? {} : { annotations }) }],
    predicateType: PREDICATE_TYPE,
    predicate: {},
  });
}

const shape: Shape = new Shape('bad_signature', 'signed statement');

/**
 * Whether a payload whose signature has been verified says that this manifest is signed. Never call it before.
 * @throws {Rejection} `bad_signature`: another type of statement, another predicate, another subject.
 */
export function requireStatementAbout(payload: Uint8Array, subject: Digest): void {
  const statement = shape.object(
    parseStrictJson(payload, { what: 'signed statement', bytesMax: STATEMENT_BYTES_MAX }),
    '',
  );
  if (statement['_type'] !== STATEMENT_TYPE) shape.fail('_type', JSON.stringify(STATEMENT_TYPE));
  if (statement['predicateType'] !== PREDICATE_TYPE) shape.fail('predicateType', JSON.stringify(PREDICATE_TYPE));
  const hex = digestHex(subject);
  const about = shape.array(statement['subject'], 'subject', SUBJECTS_MAX).some((item, i) => {
    const digests = shape.object(shape.object(item, `subject[${i}]`)['digest'], `subject[${i}].digest`);
    return digests['sha256'] === hex;
  });
  if (!about) shape.fail('subject', `this manifest, sha256 ${hex}`);
}
