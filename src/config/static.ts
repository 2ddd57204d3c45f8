/** Answers that need no endpoint: direct ones, files of the bundle, and pages in the place of refusals. */
import Type, { type Static } from 'typebox';
import { closed } from './fields.ts';

const SEGMENT = '[A-Za-z0-9_-][A-Za-z0-9_.-]*';

const BundleFile = (description: string, example: string) =>
  Type.String({ pattern: `^${SEGMENT}(/${SEGMENT})*$`, maxLength: 200, description, examples: [example] });

const ContentType = Type.String({
  pattern: '^[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(; ?[A-Za-z0-9_-]{1,32}=[A-Za-z0-9_.-]{1,64})*$',
  maxLength: 200,
  description: 'Content-Type.',
  examples: ['application/json'],
});

export const DirectConfig = closed(
  {
    status: Type.Integer({ minimum: 200, maximum: 599, default: 200, description: 'Status of the answer.' }),
    contentType: Type.Optional({
      ...ContentType,
      description: "Content-Type; unwritten: of the file's name, else `text/plain; charset=utf-8`.",
    }),
    body: Type.Optional(
      Type.String({
        maxLength: 65_536,
        description:
          'Body, with variables (answers.md), escaped by `contentType`: for HTML and XML, or for JSON and strings of scripts.',
      }),
    ),
    file: Type.Optional(BundleFile('A file of the bundle directory whose bytes are the body.', 'site/robots.txt')),
  },
  'The gateway answers by itself: fields of the answer stand in `answerHeaders`.',
);
export type DirectConfig = Static<typeof DirectConfig>;

export const FilesConfig = closed(
  {
    root: BundleFile(
      'Directory of the bundle directory. Hidden files (a name that begins with a dot) are never served.',
      'site',
    ),
    index: Type.String({
      pattern: `^${SEGMENT}$`,
      maxLength: 64,
      default: 'index.html',
      description: 'File that answers for a directory.',
      examples: ['index.html'],
    }),
    fallback: Type.Optional(
      Type.String({
        pattern: `^${SEGMENT}(/${SEGMENT})*$`,
        maxLength: 128,
        description:
          'File below `root` that answers for paths of no file, for applications that route in the browser: only for clients that take HTML, and not where the last segment has a dot.',
        examples: ['index.html'],
      }),
    ),
    cacheControl: Type.String({
      pattern: '^[\\x20-\\x7e]*$',
      maxLength: 256,
      default: 'no-cache',
      description: 'Cache-Control of files; `no-cache` = kept, but asked about by ETag.',
      examples: ['public, max-age=31536000, immutable'],
    }),
  },
  'Files of the bundle answer GET and HEAD: the path, as `stripPrefix` and the like leave it, below `root`.',
);
export type FilesConfig = Static<typeof FilesConfig>;

export const ErrorPageConfig = closed(
  {
    on: Type.Array(
      Type.String({
        pattern: '^([a-z][a-z_]{1,40}|[45][0-9]{2}|[45]xx)$',
        description: 'Code of refusals.md, status, or class of statuses.',
        examples: ['waf_blocked', '403', '5xx'],
      }),
      { minItems: 1, maxItems: 64, description: 'Which refusals: a code outweighs a status, a status a class.' },
    ),
    html: Type.Optional(BundleFile('Page for clients that prefer HTML.', 'pages/error.html')),
    json: Type.Optional(BundleFile('Body in the place of problem+json, as `application/json`.', 'pages/error.json')),
    text: Type.Optional(BundleFile('Body for clients that prefer plain text.', 'pages/error.txt')),
  },
  'What takes the place of the problem+json of refusals: templates with variables (answers.md), besides them `${code}`, `${title}`, `${status}`; all escaped.',
);
export type ErrorPageConfig = Static<typeof ErrorPageConfig>;

export const ErrorPagesConfig = Type.Array(ErrorPageConfig, {
  maxItems: 32,
  description: 'Pages in the place of refusals. Those of the route come before those of `defaults.yaml`.',
});

/** Statuses by name: one, a class, or a range. */
export const STATUSES = /^(?:[45]xx|([45][0-9]{2})(?:-([45][0-9]{2}))?)$/;

export const InterceptErrorsConfig = Type.Array(
  Type.String({
    pattern: STATUSES.source,
    description: 'A status, a class or a range.',
    examples: ['5xx', '502-504', '404'],
  }),
  {
    minItems: 1,
    maxItems: 32,
    description:
      "Statuses of the upstream's own answers in whose place a page of `errorPages` goes (by status or class; without one the answer passes): the status stays, what the upstream said is dropped. Answers to HEAD, gRPC, event streams, parts and WebSocket handshakes pass. Costs a call of JavaScript an answer.",
  },
);
