// One dashboard as a page: the choices above it, its rows and panels, and what this picture is.
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { createTheme, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';

import { Drawn } from './panels';
import { frames, type Picture } from './frames';

const picture: Picture = (window as any).PICTURE;
const theme = createTheme({ colors: { mode: picture.theme } });
// As Grafana lays them out: 24 columns, 30 pixels a row, 8 between two.
const [GAP, ROW] = [8, 30];
const WIDTH = 1400;
const COLUMN = (WIDTH - 2 * GAP) / 24;
const ABOVE = 92;

/** All panels at their places. A row that opens with a click is drawn open, and closed where it has nothing to show. */
const panels: any[] = picture.dashboard.panels.flatMap((panel: any) => [panel, ...(isOpen(panel) ? (panel.panels ?? []) : [])]);

function isOpen(row: any): boolean {
  return (row.panels ?? []).some((panel: any) => frames(picture, panel).length > 0);
}

const high = (rows: number): number => rows * (ROW + GAP) - GAP;

function Row({ panel }: { panel: any }) {
  return <div style={{ fontSize: 16, fontWeight: 500, lineHeight: `${ROW}px` }}>{`${panel.collapsed && !isOpen(panel) ? '›' : '⌄'} ${panel.title}`}</div>;
}

function Place({ panel }: { panel: any }) {
  const { x, y, w, h } = panel.gridPos;
  const box = { position: 'absolute', left: GAP + x * COLUMN, top: ABOVE + y * (ROW + GAP) } as const;
  if (panel.type === 'row') {
    return (
      <div style={box}>
        <Row panel={panel} />
      </div>
    );
  }
  const [width, height] = [w * COLUMN - GAP, high(h)];
  return (
    <div style={{ ...box, width, height }}>
      <PanelChrome width={width} height={height} title={panel.title} description={panel.description}>
        {(innerWidth: number, innerHeight: number) => (
          <Drawn picture={picture} panel={panel} theme={theme} width={innerWidth} height={innerHeight} />
        )}
      </PanelChrome>
    </div>
  );
}

function Choices() {
  const shown = picture.dashboard.templating.list.filter((one: any) => one.type === 'query' && !one.hide);
  const box = { border: `1px solid ${theme.colors.border.medium}`, padding: '4px 8px', marginRight: 8 };
  return (
    <div>
      {shown.map((one: any) => (
        <span key={one.name} style={box}>
          {one.label} <b>{one.includeAll ? 'All' : picture.chosen[one.name]}</b>
        </span>
      ))}
    </div>
  );
}

function Page() {
  const bottom = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const page = { position: 'relative', width: WIDTH, height: ABOVE + bottom * (ROW + GAP), background: theme.colors.background.canvas };
  return (
    <div style={page as React.CSSProperties}>
      <div style={{ padding: '8px 12px', display: 'flex', flexDirection: 'column', gap: 8 }}>
        <div style={{ fontSize: 18, fontWeight: 500 }}>
          {picture.dashboard.title}
          <span style={{ fontSize: 12, fontWeight: 400, float: 'right', color: theme.colors.text.secondary }}>{picture.note}</span>
        </div>
        <Choices />
      </div>
      {panels.map((one) => (
        <Place key={one.id} panel={one} />
      ))}
    </div>
  );
}

createRoot(document.getElementById('page')!).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <Page />
  </ThemeContext.Provider>
);
