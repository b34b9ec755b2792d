/** One in-process benchmark: it runs in a process of its own, so that no other has shaped its compiled code. */
export interface CaseContext {
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly add: (metric: string, subject: string, unit: string, value: number) => void;
}

export interface Case {
  readonly name: string;
  readonly run: (context: CaseContext) => void;
}
