# escape=`

# The shape of an image for another system: backtick as escape, backslashes in paths, SHELL of PowerShell.
FROM mcr.example.com/windows/servercore:ltsc2022

SHELL ["powershell", "-Command", "$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue';"]

ENV PYTHON_VERSION 3.12.2

RUN $url = ('https://dl.example.org/{0}/python-{1}-amd64.exe' -f ($env:PYTHON_VERSION -replace '[a-z]+[0-9]*$', ''), $env:PYTHON_VERSION); `
	Write-Host ('Downloading {0} ...' -f $url); `
	[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12; `
	Invoke-WebRequest -Uri $url -OutFile 'python.exe'; `
	`
	$exitCode = (Start-Process python.exe -Wait -NoNewWindow -PassThru `
		-ArgumentList @( `
			'/quiet', `
			'TargetDir=C:\Python', `
# a comment between
			'PrependPath=1' `
		) `
	).ExitCode; `
	if ($exitCode -ne 0) { exit $exitCode; }; `
	Remove-Item python.exe -Force

CMD ["python"]
