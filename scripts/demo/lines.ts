/** The lines that `npm start` prints, ready to paste; a test runs every one of them. */

export interface DemoLine {
  readonly what: string;
  readonly command: string;
  /** What its output holds when it does what is said. */
  readonly answers: RegExp;
}

export interface LineParts {
  readonly tlsPort: number;
  readonly plainPort: number;
  /** Paths as a shell in the user's directory takes them. */
  readonly caFile: string;
  readonly readerToken: string;
  readonly adminToken: string;
}

export function demoLines(parts: LineParts): readonly DemoLine[] {
  const curl = `curl -sS --cacert ${parts.caFile}`;
  const base = `https://localhost:${parts.tlsPort}`;
  const as = (tokenFile: string): string => `-H "Authorization: Bearer $(cat ${tokenFile})"`;
  return [
    {
      what: 'allowed, with a token (200; says which cell and endpoint answered)',
      command: `${curl} ${as(parts.readerToken)} ${base}/api/orders`,
      answers: /"cell": "eu-1"[\s\S]*"url": "\/api\/orders"/,
    },
    {
      what: 'without a token (401)',
      command: `${curl} -i ${base}/api/orders`,
      answers: /^HTTP\/2 401 [\s\S]*"code":"token_missing"/,
    },
    {
      what: 'an SQL injection (403, blocked by the WAF)',
      command: `${curl} -i ${as(parts.readerToken)} "${base}/api/orders?id=1%27%20OR%20%271%27=%271"`,
      answers: /^HTTP\/2 403 [\s\S]*"code":"waf_blocked"/,
    },
    {
      what: 'a path that policy forbids to readers (403)',
      command: `${curl} -i ${as(parts.readerToken)} ${base}/api/admin/users`,
      answers: /^HTTP\/2 403 [\s\S]*"code":"policy_denied"/,
    },
    {
      what: 'the same, as an admin of another tenant (200, from the cell that the ring chose)',
      command: `${curl} ${as(parts.adminToken)} ${base}/api/admin/users`,
      answers: /"cell": "(eu|us)-1"[\s\S]*"url": "\/api\/admin\/users"/,
    },
    {
      what: 'a burst over the limit (five 200, then 429 with Retry-After)',
      command: `${curl} -o /dev/null -w "%{http_code} " "${base}/slow-lane?[1-8]"`,
      answers: /^(200 ){5}.*429 $/,
    },
    {
      what: 'plain HTTP (308 to HTTPS)',
      command: `curl -sS -i http://localhost:${parts.plainPort}/`,
      answers: new RegExp(`^HTTP/1\\.1 308 [\\s\\S]*location: https://localhost:${parts.tlsPort}/`, 'i'),
    },
  ];
}
