/** What the declarations of the WAF cannot say: fields that exclude or need each other. */
import type { Part } from './bundle.ts';
import { pointerPart } from './document.ts';
import type { CrsSettings } from './waf-crs.ts';
import { expressionProblems, listProblems } from './waf-expression.ts';
import type { RouteWaf, WafExclusion } from './waf-tuning.ts';
import type { WafConfig } from './waf.ts';

/** Notes a problem at a place of a document. */
type Note = (part: Part, path: string, message: string) => void;

/** Name of a variable of the collection TX. */
const VARIABLE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const CHOICES = ['rule', 'rules', 'tag', 'message'] as const;

export function wafProblems(c: WafConfig, note: Note): void {
  const at = (path: string, message: string): void => note('waf', path, message);
  tuningProblems(c, '', at);
  expressionProblems(c.rules, '/rules', at);
  listProblems(c.lists, at);
  for (const [i, update] of c.updates.entries()) {
    const path = `/updates/${i}`;
    if (!update.remove && update.targets.length === 0 && update.actions.length === 0)
      at(path, 'changes nothing: say remove, targets or actions');
    if (update.actions.length > 0 && !/^[0-9]+$/.test(update.rules))
      at(`${path}/rules`, 'actions can be changed of one rule at a time: write one id');
  }
  if (c.crs === undefined || c.crs.dir !== undefined) return;
  for (const name of ['setup', 'before', 'plugins'] as const)
    if (c.crs[name] !== undefined && c.crs[name].length > 0)
      at(`/crs/${name}`, 'belongs to a rule set in `crs.dir`, which `cnx waf crs` puts into the bundle directory');
}

export function routeWafProblems(r: RouteWaf, bundle: WafConfig | undefined, path: string, note: Note): void {
  const at = (where: string, message: string): void => note('routes', where, message);
  tuningProblems(r, path, at);
  expressionProblems(r.rules ?? [], `${path}/rules`, at);
  const answers = { ...bundle?.responses, ...r.responses };
  if (r.responses !== undefined && Object.keys(r.responses).length > 0 && answers.inspect === undefined)
    note('routes', `${path}/responses`, 'answers are not inspected here: say `inspect: true`, here or in waf.yaml');
}

interface Tuned {
  readonly exclude: readonly WafExclusion[];
  readonly paranoiaLevel?: number;
  readonly detectionParanoiaLevel?: number;
  readonly crs?: CrsSettings;
}

function tuningProblems(t: Tuned, path: string, at: (path: string, message: string) => void): void {
  for (const [i, exclusion] of t.exclude.entries()) {
    const given = CHOICES.filter((name) => exclusion[name] !== undefined);
    if (given.length !== 1)
      at(
        `${path}/exclude/${i}`,
        `exactly one of ${CHOICES.join(', ')} is expected, got ${given.length === 0 ? 'none' : given.join(' and ')}`,
      );
  }
  const { paranoiaLevel = 1, detectionParanoiaLevel = 4 } = t;
  if (detectionParanoiaLevel < paranoiaLevel)
    at(`${path}/detectionParanoiaLevel`, `must not be below paranoiaLevel (${paranoiaLevel}): what blocks is run`);
  for (const [name, value] of Object.entries(t.crs?.set ?? {})) {
    const place = `${path}/crs/set/${pointerPart(name)}`;
    if (!VARIABLE.test(name))
      at(place, `"${name}" is no name of a variable; write it without \`tx.\`, of letters, digits, _ . -`);
    // A macro would be put into the text as it stands, not be expanded.
    if (/[%\p{Cc}]/u.test(value)) at(place, 'the value may hold no control characters and no %');
  }
}
