/**
 * A checker of the Prometheus text format (version 0.0.4), strict where Prometheus is: one HELP and TYPE before the samples of a family, samples of a
 * family together, no series twice, histograms cumulative with `+Inf` equal to the count.
 */
export interface Family {
  readonly type: string;
  readonly help: string;
  /** By name and labels as written. */
  readonly samples: Map<string, number>;
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,|(?=\})))*)\})? (\S+)$/u;

/** Families by name; throws on what Prometheus would not take. */
export function parsePrometheus(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let current: { name: string; family: Family } | null = null;
  let help: { name: string; text: string } | null = null;
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.split('\n')) {
    if (line === '') continue;
    if (line.startsWith('# HELP ')) {
      const [name = '', ...words] = line.slice(7).split(' ');
      help = { name, text: words.join(' ') };
      continue;
    }
    if (line.startsWith('# TYPE ')) {
      const [name = '', type = ''] = line.slice(7).split(' ');
      if (help?.name !== name) throw new Error(`no HELP before TYPE of ${name}`);
      if (families.has(name)) throw new Error(`${name} stands twice`);
      if (!['counter', 'gauge', 'histogram'].includes(type)) throw new Error(`unknown type ${type}`);
      current = { name, family: { type, help: help.text, samples: new Map() } };
      families.set(name, current.family);
      continue;
    }
    const m = SAMPLE.exec(line);
    if (m === null) throw new Error(`no sample: ${line}`);
    const [, name = '', labels = '', value = ''] = m;
    const base = current?.family.type === 'histogram' ? name.replace(/_(?:bucket|sum|count)$/u, '') : name;
    if (current === null || base !== current.name) throw new Error(`${name} stands outside of its family`);
    const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value);
    if (Number.isNaN(number)) throw new Error(`no number: ${line}`);
    if (current.family.type === 'counter' && number < 0) throw new Error(`a counter below 0: ${line}`);
    const series = `${name}{${labels}}`;
    if (current.family.samples.has(series)) throw new Error(`twice: ${series}`);
    current.family.samples.set(series, number);
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkHistogram(name, family.samples);
  return families;
}

function checkHistogram(name: string, samples: ReadonlyMap<string, number>): void {
  let last = { rest: '', le: Number.NEGATIVE_INFINITY, count: 0 };
  const totals = new Map<string, number>();
  for (const [series, value] of samples) {
    const m = /^(\w+)_bucket\{(.*?),?le="([^"]+)"\}$/u.exec(series);
    if (m === null) continue;
    const [, , rest = '', bound = ''] = m;
    const le = bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound);
    if (rest === last.rest && last.le < le && value < last.count) throw new Error(`not cumulative: ${series}`);
    if (rest === last.rest && last.le >= le && last.le !== Number.POSITIVE_INFINITY)
      throw new Error(`bounds not ascending: ${series}`);
    last = { rest, le, count: value };
    if (le === Number.POSITIVE_INFINITY) totals.set(rest, value);
  }
  for (const [rest, total] of totals) {
    if (samples.get(`${name}_count{${rest}}`) !== total) throw new Error(`+Inf is not the count of ${name}{${rest}}`);
    if (samples.get(`${name}_sum{${rest}}`) === undefined) throw new Error(`no sum of ${name}{${rest}}`);
  }
  if (samples.size > 0 && totals.size === 0) throw new Error(`no buckets in ${name}`);
}
