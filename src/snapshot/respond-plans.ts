/** Parts of what a route does to requests and answers: changes of paths, redirects, CORS, answers without an endpoint, pages. */
import type { TextPart } from './variables.ts';

/** What becomes of a path, in this order. */
export interface PathChange {
  /** Prefix taken off the path; `''` = none. */
  readonly stripPrefix: string;
  /** The whole path, percent-encoded, or a rule of the rewritings. */
  readonly replace: { readonly path: string } | { readonly rule: number } | null;
  /** Put before it. */
  readonly addPrefix: string;
}

/** Files in one piece of shared memory; a row says where one lies. */
export interface FileTable {
  readonly bytes: SharedArrayBuffer;
  readonly rows: readonly FileRow[];
}

export interface FileRow {
  readonly from: number;
  readonly length: number;
  readonly contentType: string;
  /** A strong entity tag (RFC 9110 §8.8.3), with its quotes. */
  readonly etag: string;
}

/** How variables are escaped in a body. */
export type TextKind = 'html' | 'json' | 'text';

export interface DirectPlan {
  readonly status: number;
  readonly contentType: string;
  readonly body: { readonly file: number } | { readonly parts: readonly TextPart[]; readonly kind: TextKind };
}

export interface FilesPlan {
  /** Path in canonical form, percent-encoded, below the root → row. */
  readonly paths: Readonly<Record<string, number>>;
  readonly index: string;
  /** Row, or -1. */
  readonly fallback: number;
  readonly cacheControl: string;
}

export interface PagePlan {
  /** Codes, statuses, classes of statuses. */
  readonly on: readonly string[];
  /** Templates by kind. */
  readonly bodies: { readonly [K in TextKind]?: readonly TextPart[] };
}

export interface RedirectParts extends PathChange {
  /** `null` keeps the client's, as of the host. */
  readonly scheme: 'http' | 'https' | null;
  readonly host: string | null;
  /** 0: none when scheme or host change, else the client's. */
  readonly port: number;
  readonly stripQuery: boolean;
}

/** What other origins' pages may do (the Fetch standard's CORS protocol). */
export interface CorsPlan {
  /** Every origin may. */
  readonly any: boolean;
  /** Origins as browsers send them. */
  readonly origins: readonly string[];
  /** `https://*.example.com:8443` as its beginning and its end. Flat. */
  readonly within: readonly string[];
  /** Answers differ from origin to origin. */
  readonly varies: boolean;
  /** Values of the fields of these names; `''` = the field is not sent. */
  readonly methods: string;
  /** `*`: whatever is asked for. */
  readonly headers: string;
  readonly exposed: string;
  readonly maxAge: string;
  readonly credentials: boolean;
  readonly privateNetwork: boolean;
}
