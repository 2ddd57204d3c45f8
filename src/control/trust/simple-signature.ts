import type { Digest } from '../oci/digest.ts';
import { parseStrictJson, Shape } from '../oci/json.ts';
import { Rejection } from '../oci/rejection.ts';
import { decodeBase64 } from './base64.ts';
import { isSignedBy } from './dsse.ts';
import type { PreparedKey } from './policy.ts';

const PAYLOAD_BYTES_MAX = 16 * 1024;
const SIGNATURE_LENGTH_MAX = 1024;
const CRITICAL_TYPE = 'cosign container image signature';

const shape: Shape = new Shape('bad_signature', 'simple signature');

/**
 * Verifies what cosign 1 and 2 write (cosign, `specs/SIGNATURE_SPEC.md`): a signature over the bytes of a payload that names the manifest. There is no hint of
 * the key, so each of the role is tried. The payload is parsed only after its signature has been verified; certificates and transparency logs beside it count
 * for nothing.
 *
 * @param keys keys of the needed role, revoked and expired ones included: the caller tells those apart.
 * @throws {Rejection} `wrong_key` when no key of ours made it, `bad_signature` for everything else.
 */
export function verifySimpleSignature(
  payload: Uint8Array,
  signature: string,
  subject: Digest,
  keys: readonly PreparedKey[],
): PreparedKey {
  const bytes = signature.length > SIGNATURE_LENGTH_MAX ? undefined : decodeBase64(signature);
  if (bytes === undefined || bytes.byteLength === 0) shape.fail('signature', 'base64 with padding');
  const key = keys.find((candidate) => isSignedBy(candidate, payload, bytes));
  if (key === undefined) throw new Rejection('wrong_key', 'its simple signature is of no key that is trusted');
  const document = shape.object(
    parseStrictJson(payload, { what: 'simple signature', bytesMax: PAYLOAD_BYTES_MAX }),
    '',
  );
  const critical = shape.object(document['critical'], 'critical');
  if (critical['type'] !== CRITICAL_TYPE) shape.fail('critical.type', JSON.stringify(CRITICAL_TYPE));
  const image = shape.object(critical['image'], 'critical.image');
  if (image['docker-manifest-digest'] !== subject)
    shape.fail('critical.image.docker-manifest-digest', `this manifest, ${subject}`);
  return key;
}
