/** Makes of an input what a lab can enforce: a configuration, and its text for the daemon. */
import type { Config } from '../config/config.ts';
import { buildConfig } from '../config/load-config.ts';
import { parseDocument } from '../source/yaml.ts';
import { writeConfiguration } from './write-configuration.ts';

export interface LabConfiguration {
  readonly config: Config;
  /** Undefined: the daemon reads the file itself. */
  readonly text: string | undefined;
  /** What the lab does not have of the input, each as a sentence. */
  readonly losses: readonly string[];
}

/** @throws if what was written can't be read, which is an error of ours */
export function labConfiguration(config: Config, netnsDirectory: string): LabConfiguration {
  if (config.model.isElsewhere !== true) return { config, text: undefined, losses: [] };
  const { text, losses } = writeConfiguration(config);
  const root = parseDocument(config.file, text, []);
  const built = root === undefined ? undefined : buildConfig(config.file, root, { netnsDirectory });
  if (built?.config === undefined) {
    const why = built?.problems.find(({ severity }) => severity === 'error')?.message ?? 'no text';
    throw new Error(`the configuration made of ${config.file} is not valid: ${why}`);
  }
  return { config: built.config, text, losses };
}
