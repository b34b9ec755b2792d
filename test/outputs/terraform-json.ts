/** Plans Terraform's JSON syntax in the few ways that the export writes it: texts, and references to the id of a resource. */
import { isObject, objectOf } from '../../src/source/json-values.ts';

const REFERENCE = /^\$\{(aws_[a-z0-9_]+\.[A-Za-z0-9-]+)\.id\}$/;

export function planOf(written: object): object {
  const resources = Object.entries(objectOf(objectOf(written)['resource'])).flatMap(
    ([type, named]) =>
      Object.entries(objectOf(named)).map(([name, given]) => {
        const values: Record<string, unknown> = {};
        const unknown: Record<string, unknown> = { id: true };
        const expressions: Record<string, unknown> = {};
        for (const [key, value] of Object.entries(objectOf(given))) {
          const [, target] = (typeof value === 'string' && REFERENCE.exec(value)) || [];
          if (target !== undefined) {
            unknown[key] = true;
            expressions[key] = { references: [`${target}.id`, target] };
          } else if (typeof value === 'string' && value.startsWith('${var.')) {
            values[key] = 'vpc-00000000000000001';
            expressions[key] = { references: ['var.vpc_id'] };
          } else {
            values[key] = unescape(value);
            expressions[key] = { constant_value: value };
          }
        }
        return {
          address: `${type}.${name}`,
          mode: 'managed',
          type,
          name,
          values,
          unknown,
          expressions,
        };
      }),
  );
  const plain = resources.map(({ unknown: _, expressions: __, ...one }) => one);
  return {
    format_version: '1.2',
    planned_values: { root_module: { resources: plain } },
    resource_changes: resources.map(({ values, unknown, ...one }) => ({
      ...one,
      change: { actions: ['create'], before: null, after: values, after_unknown: unknown },
    })),
    configuration: {
      root_module: { resources: resources.map(({ values: _, unknown: __, ...one }) => one) },
    },
  };
}

function unescape(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$${', '${').replaceAll('%%{', '%{');
  if (Array.isArray(value)) return value.map(unescape);
  return isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, unescape(one)]))
    : value;
}
