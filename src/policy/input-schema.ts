/**
 * The input document, declared for those who write policies: `config/policy-input.schema.json` is this object as text, and a test holds that
 * file, this declaration and what the encoder writes together. Every property is optional, for a policy gets what it names.
 */
import Type from 'typebox';

const closed = { additionalProperties: false };

const User = Type.Object(
  {
    sub: Type.Optional(Type.String({ description: 'Claim `sub` of the verified token. Field `user.sub`.' })),
    role: Type.Optional(
      Type.String({ description: 'First of the roles; empty when there is none. Field `user.role`.' }),
    ),
    roles: Type.Optional(
      Type.Array(Type.String(), {
        description: "Roles, from the claim that the issuer's `rolesClaim` names. Field `user.roles`.",
      }),
    ),
    claims: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'All claims (field `user.claims`), or those that were named (`user.claims.<name>`).',
      }),
    ),
  },
  {
    ...closed,
    description: 'The verified identity; absent when the request has none. Field `user`: all of it.',
  },
);

const Tls = Type.Object(
  {
    version: Type.Optional(
      Type.String({ description: 'Version of the connection. Field `tls.version`.', examples: ['TLSv1.3'] }),
    ),
    cipher: Type.Optional(
      Type.String({
        description: 'IANA name of the cipher suite. Field `tls.cipher`.',
        examples: ['TLS_AES_128_GCM_SHA256'],
      }),
    ),
    server_name: Type.Optional(
      Type.String({
        description:
          'Server name that the client asked for, lower case; absent when it named none. Field `tls.server_name`.',
      }),
    ),
    alpn: Type.Optional(
      Type.String({ description: 'Protocol agreed upon. Field `tls.alpn`.', examples: ['h2', 'http/1.1'] }),
    ),
    ja4: Type.Optional(
      Type.String({
        description: 'JA4 fingerprint of the client: what it is built of, not who it is. Field `tls.ja4`.',
        examples: ['t13d1516h2_8daaf6152771_02713d6af862'],
      }),
    ),
    client: Type.Optional(
      Type.Object(
        {
          subject: Type.Optional(
            Type.String({
              description: 'Subject (RFC 4514); empty when it has none. Field `tls.client.subject`.',
              examples: ['CN=alice,O=Example'],
            }),
          ),
          sans: Type.Optional(
            Type.Array(Type.String(), {
              description: 'Alternative names, each with its kind. Field `tls.client.sans`.',
              examples: [['DNS:alice.example', 'URI:spiffe://example/alice']],
            }),
          ),
          fingerprint: Type.Optional(
            Type.String({
              description: 'SHA-256 of the certificate in DER, lower-case hex. Field `tls.client.fingerprint`.',
            }),
          ),
        },
        {
          ...closed,
          description:
            "The client's certificate, verified; absent when it has shown none. Field `tls.client`: all of it.",
        },
      ),
    ),
  },
  {
    ...closed,
    description:
      'What the TLS handshake told; absent without TLS, or when the transport does not know it. Field `tls`: all of it.',
  },
);

export const PolicyInput = Type.Object(
  {
    method: Type.Optional(Type.String({ description: 'Request method, as received.', examples: ['GET'] })),
    path: Type.Optional(
      Type.String({
        description: 'Path, percent-decoded once and with dot segments resolved.',
        examples: ['/api/orders'],
      }),
    ),
    segments: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Segments of the path, without empty ones.',
        examples: [['api', 'orders']],
      }),
    ),
    query: Type.Optional(Type.String({ description: 'Query as received, without `?`.' })),
    host: Type.Optional(Type.String({ description: 'Host, lower case, without port.' })),
    tenant: Type.Optional(Type.String({ description: 'Tenant of the request; absent when it has none.' })),
    route: Type.Optional(Type.String({ description: 'Id of the matched route.' })),
    user: Type.Optional(User),
    client: Type.Optional(
      Type.Object(
        {
          address: Type.Optional(
            Type.String({
              description: 'Address of the client after trusted forwarding headers. Field `client.address`.',
            }),
          ),
          country: Type.Optional(
            Type.String({
              description: 'Country of the address (ISO 3166-1); absent when unknown. Field `client.country`.',
            }),
          ),
        },
        { ...closed, description: 'The client.' },
      ),
    ),
    time: Type.Optional(
      Type.Object(
        {
          now_ns: Type.Optional(
            Type.Integer({
              description: 'Nanoseconds since the epoch, the same for one request. Field `time.now_ns`.',
            }),
          ),
        },
        { ...closed, description: 'The time of the request. Not for policies that are pure.' },
      ),
    ),
    tls: Type.Optional(Tls),
    headers: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description:
          'Values of the header fields that were named (`headers.<name>`), by lower-case name; repeated ones are joined with a comma and a space (RFC 9110 §5.3; cookies with a semicolon), absent ones are left out. Those that an issuer makes from claims hold what the token says.',
      }),
    ),
  },
  {
    ...closed,
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Input of a policy',
    description: 'Only the fields that a policy names under `input` are sent.',
  },
);

/** Text of `config/policy-input.schema.json`. */
export function policyInputSchemaText(): string {
  return `${JSON.stringify(PolicyInput, null, 2)}\n`;
}
