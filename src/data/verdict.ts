/** What a stage says. Integers, so that the loop is a switch and nothing is allocated. */
export const Verdict = {
  /** Go on with the next stage. */
  Next: 0,
  /** `x.refusal` is set: answer it. */
  Refuse: 1,
  /** Something was asked for: enter this stage again from its top when `pipeline.wake` says that it has arrived. */
  Wait: 2,
  /** The exchange was handed to the transport (forwarded or answered); its events come back through the pipeline. */
  Handed: 3,
} as const;

export type Verdict = (typeof Verdict)[keyof typeof Verdict];
