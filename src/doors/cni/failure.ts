/** This file has the errors of a CNI plugin: their codes, and what a runtime reads of them. */

/** CNI specification 1.1.0, "Error", and our own from 100 on. */
export const CODES = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  badEnvironment: 4,
  inputOutput: 5,
  notDecoded: 6,
  badConfig: 7,
  tryAgain: 11,
  notAvailable: 50,
  /** The daemon answers, and refuses. */
  refused: 100,
  /** A mistake of ours. */
  internal: 101,
} as const;

export type Code = (typeof CODES)[keyof typeof CODES];

export class CniError extends Error {
  /** Of ours, or what an IPAM plugin answered. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
