// A panel by its type, with Grafana's components.
import {
  dateTime,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
  type DataFrame,
  type GrafanaTheme2,
} from '@grafana/data';
import { BigValue, BigValueColorMode, BigValueGraphMode, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import React from 'react';

import { configured, frames, replaced, times, type Picture } from './frames';
import { Heatmap, States } from './own';

export interface Given {
  picture: Picture;
  panel: any;
  theme: GrafanaTheme2;
  width: number;
  height: number;
}

// Two of them have a second name in the list, and the same id.
const transformers = new Map(Object.values(standardTransformers).map((one: any) => [one.id, one]));
standardTransformersRegistry.setInit(() =>
  [...transformers.values()].map((one) => ({ id: one.id, name: one.name, transformation: () => Promise.resolve(one) }) as any)
);

export function Drawn(given: Given) {
  const found = frames(given.picture, given.panel);
  if (given.panel.type === 'table' && found.length) {
    return <Table {...given} data={found} />;
  }
  const data = configured(given.picture, given.panel, given.theme, found);
  if (given.panel.type === 'stat') {
    return <Stat {...given} data={data} />;
  }
  if (!data.length) {
    return <Empty {...given} />;
  }
  const kinds: Record<string, React.FunctionComponent<Given & { data: DataFrame[] }>> = {
    timeseries: Lines,
    'state-timeline': States,
    heatmap: Heatmap,
  };
  const Kind = kinds[given.panel.type];
  return <Kind {...given} data={data} />;
}

function Empty({ panel, theme, width, height }: Given) {
  const placed = { display: 'flex', alignItems: 'center', justifyContent: 'center', textAlign: 'center' } as const;
  return <div style={{ ...placed, width, height, color: theme.colors.text.secondary }}>{panel.fieldConfig.defaults.noValue}</div>;
}

function Stat({ picture, panel, theme, width, height, data }: Given & { data: DataFrame[] }) {
  const { reduceOptions, textMode, orientation, justifyMode, wideLayout } = panel.options;
  const shared = { fieldConfig: panel.fieldConfig, replaceVariables: replaced(picture), theme, timeZone: 'utc' };
  return (
    <VizRepeater
      width={width}
      height={height}
      source={data}
      orientation={orientation}
      autoGrid={true}
      renderCounter={0}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      getValues={() => getFieldDisplayValues({ ...shared, reduceOptions, data })}
      renderValue={(one: any) => (
        <BigValue
          value={one.value.display}
          count={one.count}
          width={one.width}
          height={one.height}
          alignmentFactors={one.alignmentFactors}
          colorMode={BigValueColorMode.Value}
          graphMode={BigValueGraphMode.None}
          textMode={textMode}
          justifyMode={justifyMode}
          wideLayout={wideLayout}
          theme={theme}
        />
      )}
    />
  );
}

function Lines({ picture, panel, theme, width, height, data }: Given & { data: DataFrame[] }) {
  const all = times(picture).map((one) => dateTime(one));
  const range = { from: all[0], to: all[all.length - 1], raw: { from: all[0], to: all[all.length - 1] } };
  return (
    <TimeSeries frames={data} width={width} height={height} timeRange={range} timeZone="utc" legend={panel.options.legend}>
      {(builder) => {
        builder.addHook('draw', (plot) => marks(picture, theme).forEach((mark) => draw(plot, mark)));
        return null;
      }}
    </TimeSeries>
  );
}

interface Mark {
  at: number;
  colour: string;
}

/** The times of the dashboard's annotations: the values of their queries, in milliseconds. */
function marks(picture: Picture, theme: GrafanaTheme2): Mark[] {
  return (picture.dashboard.annotations.list ?? []).flatMap((one: any) => {
    const values = picture.range[one.target.expr].flatMap((series) => series.values).filter((value) => value !== null);
    return [...new Set(values as number[])].map((at) => ({ at, colour: theme.visualization.getColorByName(one.iconColor) }));
  });
}

function draw(plot: any, { at, colour }: Mark) {
  const x = plot.valToPos(at, 'x', true);
  if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) {
    return;
  }
  plot.ctx.save();
  plot.ctx.strokeStyle = colour;
  plot.ctx.setLineDash([4, 4]);
  plot.ctx.beginPath();
  plot.ctx.moveTo(x, plot.bbox.top);
  plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
  plot.ctx.stroke();
  plot.ctx.restore();
}

function Table(given: Given & { data: DataFrame[] }) {
  const { picture, panel, theme, width, height, data } = given;
  const [joined, setJoined] = React.useState<DataFrame>();
  React.useEffect(() => {
    const context = { interpolate: replaced(picture) };
    const going = transformDataFrame(panel.transformations, data, context).subscribe((made) => {
      setJoined(configured(picture, panel, theme, made)[0]);
    });
    return () => going.unsubscribe();
  }, []);
  return joined ? <TableNG data={joined} width={width} height={height} sortBy={panel.options.sortBy} fieldConfig={panel.fieldConfig} /> : null;
}
