/** What a plan or state has of one resource. */
import type { JsonObject } from '../../source/json-values.ts';

/** The key that count or for_each gives; undefined: neither is there. */
export type Key = string | number | undefined;

/** A module as it is called: from the root, the name and key of each call. */
export interface ModuleStep {
  readonly name: string;
  readonly key: Key;
}

export interface Instance {
  /** `module.tiers.aws_security_group.this["app"]`. */
  readonly address: string;
  readonly module: readonly ModuleStep[];
  readonly isData: boolean;
  readonly type: string;
  readonly name: string;
  readonly key: Key;
  readonly values: JsonObject;
  /** By attribute: true, or a structure with true in it, where the plan does not know the value. */
  readonly unknown: JsonObject;
}

export type Action = 'add' | 'change' | 'replace' | 'remove';

export interface Change {
  readonly action: Action;
  readonly address: string;
  readonly type: string;
  readonly before: JsonObject;
}
