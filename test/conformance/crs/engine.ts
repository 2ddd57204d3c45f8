/** The rule set of a data directory, compiled as its own regression tests need it, and one exchange through the engine. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  WafAddon,
  WafDiagnostic,
  WafFile,
  WafProfileOptions,
  WafRequest,
  WafResponse,
  WafTrace,
} from '../../../src/native/waf.ts';
import { packRequest, packResponse, wafDiagnostics } from '../../../src/native/waf.ts';
import { native } from '../../../src/native.ts';
import { crsDirectory } from '../../harness/crs.ts';
import type { DataDirectory } from '../data.ts';

/** What the recommended engine configuration says and the tests of the rule set rely on. */
const ENGINE = `
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecResponseBodyLimit 1048576
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
`;

/** Everything at paranoia level 4 and nothing refused: the action that the tests' README asks for. */
const TESTED = `
SecAction "id:900005,phase:1,nolog,pass,t:none,ctl:ruleEngine=DetectionOnly,setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
`;

/** Room for a request or an answer with the longest body of the suite. */
const BUFFER_BYTES = 4 * 1024 * 1024;

/** The newest `crs-…` of a directory. */
function releaseIn(directory: string): string | undefined {
  let names: string[] = [];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const folder = names
    .filter((name) => /^crs-\d/.test(name))
    .sort()
    .at(-1);
  return folder === undefined ? undefined : join(directory, folder);
}

/**
 * The rule files of `<dir>/crs-…` in the order of the release, or of the one beside the project when the data have none of their own; undefined, and noted as missing, when there is none
 * at all.
 */
export function crsFiles(data: DataDirectory, tested = true): WafFile[] | undefined {
  const root = releaseIn(data.path) ?? crsDirectory();
  if (root === null) {
    data.missing.push({ set: 'crs', path: join(data.path, 'crs-<version>') });
    return undefined;
  }
  const file = (name: string): WafFile => ({ name, bytes: readFileSync(join(root, name)) });
  const rules = readdirSync(join(root, 'rules'))
    .filter((name) => /\.(conf|data)$/.test(name))
    .sort();
  return [
    { name: 'engine.conf', bytes: Buffer.from(ENGINE) },
    file('crs-setup.conf.example'),
    ...(tested ? [{ name: 'tested.conf', bytes: Buffer.from(TESTED) }] : []),
    ...rules.map((name) => file(`rules/${name}`)),
  ];
}

/** A compiled rule set with one profile. */
export class Engine {
  readonly handle: number;
  readonly profile: number;
  readonly #waf: WafAddon;
  readonly #request = Buffer.alloc(BUFFER_BYTES);
  readonly #response = Buffer.alloc(BUFFER_BYTES);

  /** `multiLine`: `^` and `$` match at line ends, as in ModSecurity 3. */
  constructor(files: readonly WafFile[], profile: WafProfileOptions = {}, multiLine = false) {
    this.#waf = native();
    try {
      this.handle = this.#waf.wafCompile(files, { multiLine });
    } catch (error) {
      const list = wafDiagnostics(error);
      throw list === null ? error : new Error(list.map(shown).join('\n'), { cause: error });
    }
    this.profile = this.#waf.wafProfile(this.handle, { workMax: 1e12, ...profile });
  }

  trace(request: WafRequest, response: WafResponse | null): WafTrace {
    const length = packRequest(this.#request, request);
    const answer = response === null ? 0 : packResponse(this.#response, response);
    if (length < 0 || answer < 0) throw new Error('the request or answer is too long for the suite');
    const packed = response === null ? null : this.#response.subarray(0, answer);
    return JSON.parse(
      this.#waf.wafTrace(this.handle, this.profile, this.#request.subarray(0, length), packed),
    ) as WafTrace;
  }

  release(): void {
    this.#waf.wafRelease(this.handle);
  }
}

function shown({ file, line, message, mend }: WafDiagnostic): string {
  return `${file}:${line}: ${message}: ${mend}`;
}
