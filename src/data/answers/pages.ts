/** The operator's own words in the place of a refusal's problem+json: which page, of which kind, with what the request says escaped. */
import { STATUS_CODES } from 'node:http';
import type { PagePlan, TextKind } from '../../snapshot/respond-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { TextPart } from '../../snapshot/variables.ts';
import type { Exchange } from '../exchange.ts';
import { CONTENT_TYPE_PROBLEM, type RefusalRow } from '../refusal.ts';
import type { OwnPage } from '../transport/transport.ts';
import { textOf } from '../variables.ts';
import { type Wanted, wanted } from './accept.ts';

const CONTENT_TYPES: Readonly<Record<TextKind, string>> = {
  html: 'text/html; charset=utf-8',
  json: 'application/json',
  text: 'text/plain; charset=utf-8',
};

/** Null: the refusal in its own words. `x.refusal` is the row already. */
export function pageOf(x: Exchange, row: RefusalRow): OwnPage | null {
  const { pages, pagesOfNoRoute = [] } = x.revision.snapshot;
  if (pages === undefined) return null;
  const page = chosen(pages, x.route?.respond.pages ?? pagesOfNoRoute, namesOf(row));
  if (page === null) return null;
  return written(x, page);
}

/** Whether any page may stand in the place of this refusal. */
export function hasPageOf(pages: Snapshot['pages'], row: RefusalRow): boolean {
  return pages?.some(({ on }) => namesOf(row).some((name) => on.includes(name))) ?? false;
}

/** In the place of an upstream's own error with this status, of which nothing passes. Null: there is no page for it. */
export function pageOfUpstream(x: Exchange, upstreamStatus: number): OwnPage | null {
  const { pages } = x.revision.snapshot;
  const status = String(upstreamStatus);
  const page = chosen(pages ?? [], x.route?.respond.pages ?? [], [status, classOf(status)]);
  if (page === null) return null;
  return (
    written(x, page) ?? {
      contentType: CONTENT_TYPE_PROBLEM,
      body: `{"type":"about:blank","title":${JSON.stringify(STATUS_CODES[upstreamStatus] ?? 'Error')},"status":${status},"request_id":"${x.id}"}\n`,
    }
  );
}

/** Null: the client prefers what the gateway says by itself. */
function written(x: Exchange, page: PagePlan): OwnPage | null {
  const kind = kindOf(page, x.wire.header('accept'));
  // What one client gets depends on what it takes.
  x.wire.addAnswerHeader('vary', 'Accept');
  const parts = kind === null ? undefined : page.bodies[kind];
  if (kind === null || parts === undefined) return null;
  x.wire.setAnswerHeader('x-content-type-options', 'nosniff');
  return { contentType: CONTENT_TYPES[kind], body: bodyOf(parts, kind, x) };
}

/** A template with its variables escaped for what it is. */
export function bodyOf(parts: readonly TextPart[], kind: TextKind, x: Exchange): string {
  return kind === 'html' ? textOf(parts, x, html) : kind === 'json' ? textOf(parts, x, json) : textOf(parts, x);
}

/** By which pages name it, the most exact first. */
function namesOf(row: RefusalRow): readonly string[] {
  const status = String(row.status);
  return [row.code, status, classOf(status)];
}

function classOf(status: string): string {
  return `${status.charAt(0)}xx`;
}

/** The first page by the names of what it is for, the most exact one first. */
function chosen(pages: readonly PagePlan[], list: readonly number[], names: readonly string[]): PagePlan | null {
  for (const name of names) {
    for (const index of list) {
      const page = pages[index];
      if (page?.on.includes(name) === true) return page;
    }
  }
  return null;
}

/** JSON unless the client wants another kind more, or names one and JSON only by a star. Null: problem+json. */
function kindOf({ bodies }: PagePlan, accept: string | undefined): TextKind | null {
  let best: TextKind | null = bodies.json === undefined ? null : 'json';
  let most = more(wanted(accept, CONTENT_TYPE_PROBLEM), wanted(accept, 'application/json'));
  for (const [kind, type] of [
    ['html', 'text/html'],
    ['text', 'text/plain'],
  ] as const) {
    if (bodies[kind] === undefined) continue;
    const wants = wanted(accept, type);
    if (wants.quality === 0 || more(most, wants) === most) continue;
    best = kind;
    most = wants;
  }
  return best;
}

/** The one that is wanted more; the first when both are wanted alike. */
function more(a: Wanted, b: Wanted): Wanted {
  return b.quality > a.quality || (b.quality === a.quality && b.specific > a.specific) ? b : a;
}

const HTML: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

function html(text: string): string {
  return text.replace(/[&<>"'`]/g, (char) => HTML[char] ?? '');
}

/** Chars that a JSON text may hold and that end a string of a script in other quotes, or the element around it. */
const BEYOND_JSON = /['`<>&$\u2028\u2029]/g;

function json(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replace(BEYOND_JSON, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
