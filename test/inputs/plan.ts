/** Small plans of Terraform, as its documentation of the JSON has them. */
export type Json = Readonly<Record<string, unknown>>;

export interface Small {
  readonly address: string;
  readonly values: Json;
  readonly unknown?: Json;
  readonly expressions?: Json;
  readonly actions?: readonly string[];
  readonly before?: Json;
}

/** A plan by its documentation, of resources in the root module. */
export function plan(resources: readonly Small[], more: Json = {}): object {
  const parts = (address: string): { type: string; name: string } => {
    const [type, name] = address.split('.');
    return { type, name };
  };
  const kept = resources.filter(({ actions }) => actions?.join() !== 'delete');
  return {
    format_version: '1.2',
    planned_values: {
      root_module: {
        resources: kept.map(({ address, values }) => ({
          address,
          mode: 'managed',
          ...parts(address),
          values,
        })),
      },
    },
    resource_changes: resources.map(
      ({ address, values, unknown = {}, actions = ['create'], before = null }) => ({
        ...{ address, mode: 'managed', ...parts(address) },
        change: { actions, before, after: values, after_unknown: unknown },
      }),
    ),
    configuration: {
      root_module: {
        resources: resources.map(({ address, expressions = {} }) => ({
          address,
          mode: 'managed',
          ...parts(address),
          expressions,
        })),
      },
    },
    ...more,
  };
}
