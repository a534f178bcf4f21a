// The answers of Prometheus as the frames that Grafana's data source makes of them.
import { applyFieldOverrides, FieldType, getFieldDisplayName, toDataFrame, type DataFrame, type GrafanaTheme2 } from '@grafana/data';

/** One dashboard with all that its panels asked for. */
export interface Picture {
  dashboard: any;
  theme: 'light' | 'dark';
  note: string;
  start: number;
  step: number;
  count: number;
  chosen: Record<string, string>;
  instant: Record<string, Series[]>;
  range: Record<string, Series[]>;
}

/** A metric's labels and its values: one at the end, or one at each step. */
export interface Series {
  metric: Record<string, string>;
  values: Array<number | null>;
}

export const times = (picture: Picture): number[] =>
  Array.from({ length: picture.count }, (_, index) => (picture.start + index * picture.step) * 1000);

export const replaced = (picture: Picture) => (text: string): string =>
  text.replace(/\$\{?(\w+)(:\w+)?\}?/g, (whole, name) => picture.chosen[name] ?? whole);

/** The frames of a panel as the data source has them. */
export const frames = (picture: Picture, panel: any): DataFrame[] =>
  panel.targets.flatMap((target: any) => asked(picture, panel, target));

/** The same with the panel's units, colours and overrides in force; what is transformed is transformed before. */
export function configured(picture: Picture, panel: any, theme: GrafanaTheme2, data: DataFrame[]): DataFrame[] {
  const made = applyFieldOverrides({
    data,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: registry(panel.fieldConfig),
    replaceVariables: replaced(picture),
    theme,
    timeZone: 'utc',
  });
  // Keeps each name at its field, where the table looks for it.
  made.forEach((frame) => frame.fields.forEach((field) => getFieldDisplayName(field, frame, made)));
  return made;
}

function asked(picture: Picture, panel: any, target: any): DataFrame[] {
  const answers = target.instant ? picture.instant[target.expr] : picture.range[target.expr];
  if (!answers) {
    throw new Error(`no answer for ${panel.title}: ${target.expr}`);
  }
  if (target.format === 'table') {
    return answers.length ? [tableFrame(picture, panel, target, answers)] : [];
  }
  const at = target.instant ? times(picture).slice(-1) : times(picture);
  return answers.map((one) =>
    toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: at },
        {
          name: 'Value',
          type: FieldType.number,
          values: one.values,
          labels: one.metric,
          config: target.legendFormat ? { displayNameFromDS: legend(target.legendFormat, one.metric) } : {},
        },
      ],
    })
  );
}

const legend = (format: string, labels: Record<string, string>): string =>
  format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? name);

function tableFrame(picture: Picture, panel: any, target: any, answers: Series[]): DataFrame {
  const names = [...new Set(answers.flatMap((one) => Object.keys(one.metric)))].sort();
  const value = panel.targets.length > 1 ? `Value #${target.refId}` : 'Value';
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: answers.map(() => times(picture).at(-1)) },
      ...names.map((name) => ({
        name,
        type: FieldType.string,
        values: answers.map((one) => one.metric[name] ?? ''),
        config: { filterable: true },
      })),
      { name: value, type: FieldType.number, values: answers.map((one) => one.values[0]) },
    ],
  });
}

/** What a field may be given: all that this panel gives. The lists of Grafana's own panels are not in its packages. */
function registry(given: any): any {
  const { custom, ...plain } = given.defaults;
  const overridden = given.overrides.flatMap((one: any) => one.properties.map((property: any) => property.id));
  const ids = [...Object.keys(plain), ...Object.keys(custom ?? {}).map((name) => `custom.${name}`), ...overridden];
  const items = new Map([...new Set<string>(ids)].map((id) => [id, item(id)]));
  return { getIfExists: (id: string) => items.get(id), get: (id: string) => items.get(id), list: () => [...items.values()] };
}

const item = (id: string) => ({
  id,
  path: id.replace(/^custom\./, ''),
  isCustom: id.startsWith('custom.'),
  process: (value: unknown) => value,
  shouldApply: () => true,
});
