/** What a command may touch. */
export interface CommandIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** The environment; read in main.ts and handed on. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A command: its arguments without its own name; resolves with the exit code. */
export type Command = (args: string[], io: CommandIo) => Promise<number>;
