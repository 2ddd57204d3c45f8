import type { Part } from '../../config/bundle.ts';

/** Notes a problem at a place of a document; compiling goes on, so that all are found at once. */
export type Report = (part: Part, path: string, message: string) => void;
