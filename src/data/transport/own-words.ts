/** In which words a refusal is told. */
import { CONTENT_TYPE_PROBLEM, refusalBody, type RefusalRow } from '../refusal.ts';
import { OWN_ANSWER_BYTES_MAX } from './bounds.ts';
import type { OwnPage } from './transport.ts';

/** The page, unless there is none or it is too long; else problem+json. */
export function ownWords(row: RefusalRow, requestId: string, page: OwnPage | null): OwnPage {
  if (page !== null && page.body.length <= OWN_ANSWER_BYTES_MAX) return page;
  return { contentType: CONTENT_TYPE_PROBLEM, body: refusalBody(row, requestId) };
}
