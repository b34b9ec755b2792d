/** This file writes the question for tracked flows, in the words of `sgctl flows`. */

export interface FlowFilter {
  readonly interface: string;
  readonly proto: string;
  readonly port: string;
  readonly address: string;
  readonly state: string;
  readonly idle: string;
  readonly sort: string;
}

export const NO_FLOW_FILTER: FlowFilter = {
  interface: '',
  proto: '',
  port: '',
  address: '',
  state: '',
  idle: '',
  sort: 'bytes',
};

const LIMIT = 2000;

/** The path below /api/. Empty words are left out. */
export function flowsPath(filter: FlowFilter): string {
  const words = Object.entries(filter as unknown as Readonly<Record<string, string>>)
    .map(([name, value]): [string, string] => [name, value.trim()])
    .filter(([, value]) => value !== '');
  return `flows?${new URLSearchParams([...words, ['limit', String(LIMIT)]]).toString()}`;
}
