/** Rules and labels as the command line writes them. */
import { type ChannelRule, percentOf, selectorOf } from '../../control/channel/document.ts';
import { UsageError } from '../command.ts';

/** `10`, `ring=canary`, `ring=canary+region=eu@10`. */
export function canaryRule(text: string): ChannelRule & { readonly role: 'canary' } {
  const [, labels, share] = /^(?:([^@]*=[^@]*?))?(?:(?:^|@)([0-9.]+)%?)?$/.exec(text) ?? [];
  const selector = labels === undefined ? {} : selectorOf(labels.replaceAll('+', ','));
  const percent = share === undefined ? null : percentOf(share);
  if (selector === undefined || percent === undefined || (labels === undefined && share === undefined))
    throw new UsageError(
      `${JSON.stringify(text)} is no rule like 10, ring=canary, ring=canary+region=eu or ring=canary@10`,
    );
  return { role: 'canary', selector, percent };
}

/** `name=value` of `--label`. */
export function labelOption(text: string): [string, string] {
  const [entry] = Object.entries(selectorOf(text) ?? {});
  if (entry === undefined || text.includes(',')) throw new UsageError(`${JSON.stringify(text)} is no label name=value`);
  return entry;
}
