/** Writes the generated pages of docs/. Run by scripts/generate-docs. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configurationPage, dropReasonsPage, exitCodesPage, metricsPage } from './reference.ts';

const root = process.argv[2] ?? '.';
const schema = JSON.parse(
  readFileSync(join(root, 'config/secgroupd.schema.json'), 'utf8'),
) as Parameters<typeof configurationPage>[0];
writeFileSync(join(root, 'docs/drop-reasons.md'), dropReasonsPage());
writeFileSync(join(root, 'docs/metrics.md'), metricsPage());
writeFileSync(join(root, 'docs/exit-codes.md'), exitCodesPage());
writeFileSync(join(root, 'docs/configuration.md'), configurationPage(schema));
